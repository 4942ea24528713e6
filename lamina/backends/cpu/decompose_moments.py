"""Sums of squares around a mean in one pass over memory: each image around a mean of its own first.

The squares around the mean of everything can only be summed up when that mean is known, so x would be read
twice. Around the mean of one image they are summed up while the image is in a near cache:

    sum (x - mean)^2 = sum over images of [ sum (x - m)^2 + (m - mean) (count (m - mean) + 2 sum (x - m)) ]

That holds for any m. With the image's mean, up to rounding, what is added to the squares is small: this is as
exact as reading x twice, however far from zero the mean is.
Source: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances" (1979).
"""

from __future__ import annotations

from math import prod

from lamina.backends.cpu.fuse import scalar_constant
from lamina.core.dtypes import itemsize
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.graph import Node, Value

MOST_BYTES = 1 << 19  # of an image: what is read a second time should still be near


def squares_around_mean(node: Node, operand: Value, parts: int) -> Value | None:
    """The sum of (x - mean of x)^2, the first `parts` of its axes being those of images; or None."""
    axes = node.attributes["axes"]
    if node.primitive is not p.reduce_sum or operand.dtype not in ("float32", "float64"):
        return None
    if operand.primitive is not p.multiply or operand.node.inputs[0] is not operand.node.inputs[1]:
        return None
    centred = operand.node.inputs[0]
    if centred.primitive is not p.subtract:
        return None
    x, repeated = centred.node.inputs
    if repeated.primitive is not p.broadcast or not _is_mean(repeated, x, axes):
        return None
    outer, inner = axes[:parts], axes[parts:]
    rest = tuple(axis for axis in range(x.ndim) if axis not in inner)
    shape = tuple(x.shape[axis] for axis in rest)
    count = prod(x.shape[axis] for axis in inner)
    if x.size // prod(x.shape[axis] for axis in outer) * itemsize(x.dtype) > MOST_BYTES:
        return None
    own = p.multiply(p.reduce_sum(x, axes=inner), full(shape, 1 / count, x.dtype))
    apart = p.subtract(x, p.broadcast(own, shape=x.shape, axes=rest))
    within = p.reduce_sum(p.multiply(apart, apart), axes=inner)
    kept = tuple(place for place, axis in enumerate(rest) if axis not in outer)
    off = p.subtract(own, p.broadcast(repeated.node.inputs[0], shape=shape, axes=kept))
    left = p.reduce_sum(apart, axes=inner)
    between = p.multiply(off, p.add(p.multiply(off, full(shape, count, x.dtype)), p.add(left, left)))
    result: Value = p.reduce_sum(p.add(within, between), axes=tuple(rest.index(axis) for axis in outer))
    return result


def _is_mean(repeated: Value, x: Value, axes: tuple[int, ...]) -> bool:
    """Whether what is repeated is the mean of x over these axes, as the sum in parts times a number."""
    kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
    mean = repeated.node.inputs[0]
    if repeated.node.attributes["axes"] != kept or mean.primitive not in (p.multiply, p.divide):
        return False
    total, number = mean.node.inputs
    constant = scalar_constant(number)
    if constant is None or constant.constant is None:
        return False
    count, factor = prod(x.shape[axis] for axis in axes), float(constant.constant.reshape(()))
    ratio = factor * count if mean.primitive is p.multiply else factor / count
    while total.primitive is p.reduce_sum and total is not x:
        total = total.node.inputs[0]
    return total is x and abs(ratio - 1) < 1e-6
