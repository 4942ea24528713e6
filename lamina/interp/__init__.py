"""F2: the interpreter - every primitive in NumPy. It runs eager ops, and it is the judge of the backends."""

from lamina.interp.array import Array, as_eager
from lamina.interp.eval import evaluate, run_graph, walk
from lamina.interp.rules import RULES

__all__ = ["RULES", "Array", "as_eager", "evaluate", "run_graph", "walk"]
