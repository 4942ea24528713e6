"""One contestant per file: the same network, loss, optimizer and data, written as that library's users would."""
