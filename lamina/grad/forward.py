"""Forward-mode differentiation, out of the backward walk used twice.

The cotangents of the inputs are linear in those of the outputs, u: they are J' u. Their derivative with
respect to u, in a direction t, is J t.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.core.dtypes import is_float
from lamina.core.errors import GradientError
from lamina.grad.reverse import pull_back
from lamina.ir.bind import full
from lamina.ir.graph import Value, topological
from lamina.ir.trace import new_input


def push_forward(outputs: Sequence[Value], wrt: Sequence[Value], tangents: Sequence[Value]) -> list[Value]:
    """How fast each output changes when `wrt` change as fast as `tangents`; zeros for what is not a float.

    Raises GradientError where a derivative on the way is not linear in what arrives, as those that
    `ops.custom_gradient` was given may be.
    """
    floats = [output for output in outputs if is_float(output.dtype)]
    seeds = [new_input("seed", output.type) for output in floats]
    found = dict(zip(floats, pull_back(pull_back(floats, seeds, wrt), tangents, seeds)))
    results = [found.get(output) or full(output.shape, 0, output.dtype) for output in outputs]
    nodes = set(topological(results))
    if any(seed.node in nodes for seed in seeds):
        raise GradientError(
            "There is no directional derivative: a custom gradient on the way is not linear in what arrives.",
            fix="use lamina.gradients, which goes backwards.",
        )
    return results
