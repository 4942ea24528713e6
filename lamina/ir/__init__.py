"""F1: the graph - values and nodes, the table of primitives, the single door `bind`, tracing.

Grammar:
    Graph  ::= (inputs: Value*, outputs: Value*)
    Value  ::= (node: Node, index: int)                        one output of a node
    Node   ::= (primitive, inputs: Value*, attributes, types)  immutable and interned: identity is equality
    Type   ::= (shape: int*, dtype: str)
"""

from lamina.ir import bind as bind  # installs the door through which primitives are called
from lamina.ir.graph import Graph, Node, TensorType, Value
from lamina.ir.trace import Tensor, Trace

__all__ = ["Graph", "Node", "Tensor", "TensorType", "Trace", "Value"]
