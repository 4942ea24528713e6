"""The walk that drives every law: once from inputs to outputs, each node rewritten until no law applies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps

from lamina.ir.graph import Node, Value, make, topological
from lamina.ir.primitives import TABLE, Primitive

Replacement = Value | tuple[Value, ...] | None
# A law gets a node whose operands are rewritten already, and gives what replaces its result (a tuple when it
# has several outputs), or None when it does not apply.
Law = Callable[[Node], Replacement]
Laws = Mapping[Primitive, list[Law]]


class LawBook:
    """Laws by primitive, in the order in which they are tried."""

    def __init__(self) -> None:
        self.laws: dict[Primitive, list[Law]] = {primitive: [] for primitive in TABLE.values()}

    def law(self, primitives: Primitive | Iterable[Primitive], *laws: Callable[..., Replacement]) -> None:
        """Add laws that are functions of the operands and, as keywords, the attributes."""
        for law in laws:
            self.node_law(primitives, _of_operands(law))

    def node_law(self, primitives: Primitive | Iterable[Primitive], law: Law) -> None:
        """Add a law that looks at the node, for one or several primitives."""
        for primitive in [primitives] if isinstance(primitives, Primitive) else primitives:
            self.laws[primitive].append(law)


def _of_operands(law: Callable[..., Replacement]) -> Law:
    @wraps(law)
    def node_law(node: Node) -> Replacement:
        return law(*node.inputs, **node.attributes)

    return node_law


def combine(*books: LawBook) -> Laws:
    """The laws of several books, tried in this order."""
    return {
        primitive: [law for book in books for law in book.laws[primitive]] for primitive in TABLE.values()
    }


def having(*traits: str) -> list[Primitive]:
    """The primitives with all these traits."""
    return [primitive for primitive in TABLE.values() if primitive.traits.issuperset(traits)]


def under(x: Value, primitive: Primitive) -> Value | None:
    """The operand of x when x is a result of `primitive`."""
    return x.node.inputs[0] if x.node.primitive is primitive else None


def rewrite(outputs: Iterable[Value], laws: Laws) -> tuple[Value, ...]:
    """`outputs` with every law applied wherever it can be.

    What a law returns is rewritten in turn, so laws need not know of each other. A law must shrink the graph
    or bring it nearer to one canonical form, or the walk would not end.
    """
    outputs = tuple(outputs)
    settled: dict[Node, tuple[Value, ...]] = {}

    def settle(node: Node) -> tuple[Value, ...]:
        """The rewritten outputs of `node`."""
        known = settled.get(node)
        if known is not None:
            return known
        operands = tuple([settle(operand.node)[operand.index] for operand in node.inputs])
        if operands != node.inputs:
            result = settle(make(node.primitive, operands, node.attributes, node.types))
        else:
            replaced = _first_that_applies(laws[node.primitive], node)
            result = node.outputs if replaced is None else tuple([settle(v.node)[v.index] for v in replaced])
        settled[node] = result
        return result

    for node in topological(outputs):  # operands first, so that the recursion stays shallow
        settle(node)
    return tuple([settled[output.node][output.index] for output in outputs])


def _first_that_applies(laws: Sequence[Law], node: Node) -> tuple[Value, ...] | None:
    for law in laws:
        found = law(node)
        if found is not None:
            return found if isinstance(found, tuple) else (found,)
    return None
