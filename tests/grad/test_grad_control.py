"""What has no gradient says so; what the backward loop remembers."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import ops
from lamina.core.errors import GradientError
from lamina.function import gradients, trace_program
from lamina.ir import TensorType
from lamina.ir import primitives as p

VECTOR = TensorType((3,), "float32")


def test_a_while_loop_refuses_and_says_what_to_use():
    def step(x):
        total = ops.while_loop(lambda n, x: n < 3, lambda n, x: (n + 1, x * 2.0), (np.int32(0), x))[1]
        return gradients(ops.sum(total), [x])

    with pytest.raises(GradientError, match=r"ops\.scan"):
        trace_program(step, [VECTOR])


def test_a_while_loop_beside_the_loss_does_not_matter():
    def step(x):
        count = ops.while_loop(lambda n: n < 3, lambda n: n + 1, np.int32(0))
        return gradients(ops.sum(x * ops.cast(count, "float32")), [x])

    trace_program(step, [VECTOR])


def test_cheap_work_is_done_again_and_results_of_functions_are_remembered():
    """Of tanh(w * h) + h only the tanh and the carried value are stacked: 1 - y^2 is computed again."""

    def step(x, w):
        def body(h, x):
            new = ops.tanh(w * h) + x
            return new, None

        return gradients(ops.sum(ops.scan(body, w, x)[0]), [w])

    program = trace_program(step, [TensorType((5, 3), "float32"), VECTOR]).program
    scans = [node for node in program.graph.nodes() if node.primitive is p.scan]
    forward = max(scans, key=lambda node: len(node.outputs) if not node.attributes["reverse"] else 0)
    assert [str(kind) for kind in forward.types] == ["float32[3]", "float32[5,3]", "float32[5,3]"]
