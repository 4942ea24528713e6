"""One contestant per file: the same network, loss, optimizer and data, written as that library's users would.

`limit` is no library: what the arithmetic of the matrix products alone would take on this processor.
"""
