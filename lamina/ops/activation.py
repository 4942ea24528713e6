"""Activations: elementwise curves, and the softmax family.

Where a curve is made of two pieces, the piece that is not chosen is computed at a harmless argument, so that
its derivative is finite too; at the joint the derivative is that of the curve.
"""

from __future__ import annotations

import math
from typing import Any

from lamina.core import dtypes
from lamina.core.errors import ShapeError
from lamina.core.shapes import normalize_axes, normalize_axis
from lamina.ir import primitives as p
from lamina.ops.convert import as_float, as_number, as_tensor, binary, dtype_of, elementwise, like, promote
from lamina.ops.create import counting
from lamina.ops.move import slice_axis
from lamina.ops.reduce import repeat_reduced
from lamina.ops.registry import alias, op


def _minus_absolute(x: Any) -> Any:
    """-|x|, with derivative 1 at 0: so softplus and log_sigmoid have derivative 1/2 there."""
    return p.select(p.greater(x, like(x, 0)), p.negative(x), x)


# --- bent lines ------------------------------------------------------------------------------------


@op
def relu(x: Any) -> Any:
    """max(x, 0)."""
    x = as_number(x)
    return p.maximum(x, like(x, 0))


@op
def relu6(x: Any) -> Any:
    """min(max(x, 0), 6)."""
    x = as_float(x)
    return p.minimum(p.maximum(x, like(x, 0)), like(x, 6))


@op
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x where it is not negative, else negative_slope x."""
    x = as_float(x)
    return p.select(p.greater_equal(x, like(x, 0)), x, p.multiply(x, like(x, negative_slope)))


@op
def hard_sigmoid(x: Any) -> Any:
    """The line x / 6 + 1/2, kept between 0 and 1."""
    x = as_float(x)
    return p.divide(relu6(p.add(x, like(x, 3))), like(x, 6))


@op
def hard_tanh(x: Any) -> Any:
    """x kept between -1 and 1."""
    x = as_number(x)
    if not dtypes.is_unsigned(dtype_of(x)):
        x = p.maximum(x, like(x, -1))
    return p.minimum(x, like(x, 1))


@op
def hard_silu(x: Any) -> Any:
    """x hard_sigmoid(x)."""
    x = as_float(x)
    return p.multiply(x, hard_sigmoid(x))


hard_swish = alias("hard_swish", hard_silu)


@op
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x where |x| > threshold, else 0."""
    x = as_float(x)
    return p.select(p.greater(p.absolute(x), like(x, threshold)), x, like(x, 0))


@op
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x moved towards 0 by the threshold, and 0 where it does not reach it."""
    x = as_float(x)
    below = p.select(p.less(x, like(x, -threshold)), p.add(x, like(x, threshold)), like(x, 0))
    return p.select(p.greater(x, like(x, threshold)), p.subtract(x, like(x, threshold)), below)


@op
def threshold(x: Any, threshold: Any, default_value: Any) -> Any:
    """x where it exceeds the threshold, else `default_value`."""
    x, default_value = promote(x, default_value)
    return elementwise(p.select, binary(p.greater, x, threshold), x, default_value)


@op
def sparse_sigmoid(x: Any) -> Any:
    """The line (x + 1) / 2, kept between 0 and 1."""
    x = as_float(x)
    half = p.multiply(p.add(x, like(x, 1)), like(x, 0.5))
    return p.minimum(p.maximum(half, like(x, 0)), like(x, 1))


@op
def sparse_plus(x: Any) -> Any:
    """0 below -1, (x + 1)^2 / 4 up to 1, and x beyond."""
    x = as_float(x)
    raised = p.add(x, like(x, 1))
    middle = p.multiply(p.multiply(raised, raised), like(x, 0.25))
    beyond = p.select(p.less(x, like(x, 1)), middle, x)
    return p.select(p.less_equal(x, like(x, -1)), like(x, 0), beyond)


# --- smooth curves ---------------------------------------------------------------------------------


@op
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return p.sigmoid(as_float(x))


@op
def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x)), without underflow for very negative x."""
    x = as_float(x)
    return p.negative(softplus(p.negative(x)))


@op
def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow for large x."""
    x = as_float(x)
    return p.add(p.maximum(x, like(x, 0)), p.log1p(p.exp(_minus_absolute(x))))


@op
def squareplus(x: Any, b: float = 4) -> Any:
    """(x + sqrt(x^2 + b)) / 2."""
    x = as_float(x)
    root = p.sqrt(p.add(p.multiply(x, x), like(x, b)))
    return p.multiply(p.add(x, root), like(x, 0.5))


@op
def softsign(x: Any) -> Any:
    """x / (1 + |x|)."""
    x = as_float(x)
    return p.divide(x, p.add(p.absolute(x), like(x, 1)))


@op
def tanh_shrink(x: Any) -> Any:
    """x - tanh(x)."""
    x = as_float(x)
    return p.subtract(x, p.tanh(x))


@op
def silu(x: Any) -> Any:
    """x sigmoid(x)."""
    x = as_float(x)
    return p.multiply(x, p.sigmoid(x))


swish = alias("swish", silu)


@op
def gelu(x: Any, approximate: bool = True) -> Any:
    """x times the normal distribution function; with `approximate`, by tanh.

    Source: D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units" (2016).
    """
    x = as_float(x)
    if approximate:
        cube = p.multiply(p.multiply(p.multiply(x, x), x), like(x, 0.044715))
        inner = p.multiply(p.add(x, cube), like(x, math.sqrt(2 / math.pi)))
        shape = p.tanh(inner)
    else:
        shape = p.erf(p.multiply(x, like(x, math.sqrt(0.5))))
    return p.multiply(p.multiply(x, like(x, 0.5)), p.add(shape, like(x, 1)))


def _exponential_below(x: Any, scale: float, rate: float) -> Any:
    """x above 0, and scale (exp(x / rate) - 1) below."""
    above = p.greater(x, like(x, 0))
    below = p.select(above, like(x, 0), x)
    if rate != 1:
        below = p.divide(below, like(x, rate))
    curve = p.expm1(below)
    return p.select(above, x, curve if scale == 1 else p.multiply(curve, like(x, scale)))


@op
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x above 0, and alpha (exp(x) - 1) below."""
    return _exponential_below(as_float(x), alpha, 1)


@op
def celu(x: Any, alpha: float = 1.0) -> Any:
    """x above 0, and alpha (exp(x / alpha) - 1) below."""
    return _exponential_below(as_float(x), alpha, alpha)


@op
def selu(x: Any) -> Any:
    """A scaled `elu` that keeps mean 0 and variance 1 from layer to layer.

    Source: G. Klambauer et al., "Self-Normalizing Neural Networks" (2017).
    """
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    x = as_float(x)
    return p.multiply(_exponential_below(x, alpha, 1), like(x, scale))


@op
def glu(x: Any, axis: int = -1) -> Any:
    """The first half of x along an axis times the sigmoid of the second."""
    x = as_float(x)
    place = normalize_axis(axis, len(x.shape))
    extent = x.shape[place]
    if extent % 2:
        raise ShapeError(f"glu halves axis {axis} of shape {x.shape}, which has an odd extent.")
    value, gate = slice_axis(x, place, 0, extent // 2), slice_axis(x, place, extent // 2, extent)
    return p.multiply(value, p.sigmoid(gate))


# --- softmax ---------------------------------------------------------------------------------------


def shifted(x: Any, axes: tuple[int, ...]) -> Any:
    """x minus its largest element over `axes`; the shift takes no part in derivatives."""
    largest = p.stop_gradient(p.reduce_max(x, axes=axes))
    return p.subtract(x, repeat_reduced(largest, x, axes))


def _axes(x: Any, axis: Any) -> tuple[int, ...]:
    return normalize_axes(axis, len(x.shape))


@op
def softmax(x: Any, axis: Any = -1) -> Any:
    """exp(x) divided by its sum over `axis`, without overflow on the way."""
    x = as_float(x)
    axes = _axes(x, axis)
    if x.size == 0:
        return x
    powers = p.exp(shifted(x, axes))
    return p.divide(powers, repeat_reduced(p.reduce_sum(powers, axes=axes), x, axes))


@op
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """log(softmax(x)), without underflow on the way."""
    x = as_float(x)
    axes = _axes(x, axis)
    if x.size == 0:
        return x
    gap = shifted(x, axes)
    return p.subtract(gap, repeat_reduced(p.log(p.reduce_sum(p.exp(gap), axes=axes)), x, axes))


@op
def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest point to x on the probability simplex: like softmax, with exact zeros.

    Source: A. Martins, R. Astudillo, "From Softmax to Sparsemax" (2016).
    """
    x = as_float(x)
    place = normalize_axis(axis, len(x.shape))
    ordered, _ = p.sort(x, axis=place, descending=True)
    running = p.cumulative_sum(ordered, axis=place, reverse=False)
    rank = p.add(counting(x.shape, place, dtype_of(x)), like(x, 1))
    inside = p.greater(ordered, p.divide(p.subtract(running, like(x, 1)), rank))
    members = as_tensor(inside, dtype_of(x))
    size = p.reduce_sum(members, axes=(place,))
    mass = p.reduce_sum(p.multiply(members, ordered), axes=(place,))
    level = p.divide(p.subtract(mass, like(mass, 1)), size)
    return p.maximum(p.subtract(x, repeat_reduced(level, x, (place,))), like(x, 0))
