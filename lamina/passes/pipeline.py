"""The only list of what is done to a graph before a backend sees it, and in which order.

Two classical passes need no code. Common subexpressions are one node from the start, because nodes are
interned (`ir.graph.make`); and what no output needs is never visited, because a graph is what its outputs
reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lamina.ir.graph import Value
from lamina.ir.primitives import CONTROLS
from lamina.passes.control import CONTROL, inside
from lamina.passes.fold import FOLD
from lamina.passes.loops import improve_loops
from lamina.passes.moves import MOVES
from lamina.passes.rewrite import combine, having, rewrite
from lamina.passes.simplify import SIMPLIFY

Pass = Callable[[tuple[Value, ...]], tuple[Value, ...]]

# One walk applies all laws, at each node until none applies: cheaper than a walk for each, and no order
# of passes to get wrong. At a node, movement is put in canonical form before constants are computed, so
# that a number repeated is computed once.
LAWS = combine(MOVES, FOLD, SIMPLIFY, CONTROL)

for _primitive in having(CONTROLS):
    LAWS[_primitive].append(inside(lambda outputs: rewrite(outputs, LAWS)))


def simplify(outputs: tuple[Value, ...]) -> tuple[Value, ...]:
    """Constant folding, movement and arithmetic, by their laws."""
    return rewrite(outputs, LAWS)


PASSES: tuple[Pass, ...] = (simplify, improve_loops, simplify)


def run(outputs: Sequence[Value]) -> tuple[Value, ...]:
    """The values that a backend compiles instead of `outputs`, with the same types and the same numbers."""
    results = tuple(outputs)
    for each in PASSES:
        results = each(results)
    return results
