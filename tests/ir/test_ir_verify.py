"""The type checker finds what a wrong pass would make, and names the line."""

from __future__ import annotations

import pytest

from lamina.ir import primitives as p
from lamina.ir.graph import Graph, TensorType, make
from lamina.ir.trace import new_input
from lamina.ir.verify import IllegalGraphError, verify


def an_input(*shape: int, dtype: str = "float32"):
    return new_input("x", TensorType(shape, dtype))


def test_a_legal_graph_passes():
    x = an_input(2, 3)
    verify(Graph((x,), (p.exp(x), x)))


@pytest.mark.parametrize(
    ("primitive", "attributes", "claimed"),
    [
        (p.negative, {}, TensorType((3, 2), "float32")),
        (p.negative, {}, TensorType((2, 3), "float64")),
        (p.reduce_sum, {"axes": (2,)}, TensorType((2, 3), "float32")),
        (p.reduce_sum, {}, TensorType((2,), "float32")),
        (p.invert, {}, TensorType((2, 3), "float32")),
    ],
)
def test_wrong_types_are_found(primitive, attributes, claimed):
    x = an_input(2, 3)
    wrong = make(primitive, [x], attributes, (claimed,)).outputs[0]
    with pytest.raises(IllegalGraphError, match=f"v1 = {primitive.name}\\(v0"):
        verify(Graph((x,), (wrong,)))


def test_inputs_must_be_listed_distinct_inputs():
    x, y = an_input(3), an_input(3)
    result = p.add(x, y)
    for inputs in ((x,), (x, x, y), (x, y, result)):
        with pytest.raises(IllegalGraphError, match="input"):
            verify(Graph(inputs, (result,)))
