"""Sums of cotangents, with what is the same in every term taken out, and what adds up to nothing left out.

A mean that is subtracted from many elements gets the sum of their cotangents back. After a
normalisation these are

    coefficient * (x - mean(x)) + scale * g

with one coefficient and one scale for each mean. The first part adds up to zero. The second is the scale
times the sum of g, and that sum is the gradient of whatever was added behind the normalisation: written like
this it is computed once, from g alone, instead of in one more pass over g and x once the coefficients are
known.
"""

from __future__ import annotations

from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.constants import source, splat
from lamina.ir.graph import Value

Axes = tuple[int, ...]


def is_mean(x: Value) -> bool:
    """Whether x is a sum divided by a number."""
    mean = source(x)
    return (
        mean.primitive is p.divide
        and mean.node.inputs[0].primitive is p.reduce_sum
        and splat(mean.node.inputs[1]) is not None
    )


def total(g: Value, axes: Axes) -> Value:
    """The sum of g over some axes.

    >>> total(p.multiply(g, p.broadcast(scale, shape=(8, 3), axes=(1,))), (0,))  # scale * (the sum of g)
    <multiply float32[3]>
    """
    found = _simpler(g, axes)
    summed: Value = p.reduce_sum(g, axes=axes)
    return summed if found is None else found


def _simpler(g: Value, axes: Axes) -> Value | None:
    """The sum without a pass over all of g; None when there is nothing to take out."""
    if g.dtype not in ("float32", "float64"):
        return None
    if g.primitive is p.negative:
        inner = _simpler(g.node.inputs[0], axes)
        return None if inner is None else p.negative(inner)
    if g.primitive in (p.add, p.multiply):
        x, y = g.node.inputs
        return _of_sum(x, y, axes) if g.primitive is p.add else _of_product(x, y, axes)
    return _nothing(g, axes) if _is_centred(g, axes) else None


def _of_sum(x: Value, y: Value, axes: Axes) -> Value | None:
    """The sum of x + y; not split where both matter: large parts that cancel would leave their errors."""
    left, right = _simpler(x, axes), _simpler(y, axes)
    if left is not None and _is_zero(left):
        return total(y, axes) if right is None else right
    if right is not None and _is_zero(right):
        return total(x, axes) if left is None else left
    return None


def _of_product(x: Value, y: Value, axes: Axes) -> Value | None:
    """The sum of a product with a factor that is the same in every term."""
    for factor, rest in ((x, y), (y, x)):
        common = _common(factor, axes)
        if common is None:
            continue
        inner = _simpler(rest, axes)
        if inner is not None and _is_zero(inner):
            return inner
        # A single number stays inside: the product with it is wanted elsewhere as it is.
        if splat(factor) is None and common.size > 1:
            return p.multiply(total(rest, axes) if inner is None else inner, common)
    return None


def _common(factor: Value, axes: Axes) -> Value | None:
    """What a factor is along the other axes, when it does not vary along these."""
    if factor.primitive is not p.broadcast:
        return None
    source, places = factor.node.inputs[0], factor.node.attributes["axes"]
    if any(extent != 1 for place, extent in zip(places, source.shape) if place in axes):
        return None
    kept = [axis for axis in range(factor.ndim) if axis not in axes]
    staying = [(place, extent) for place, extent in zip(places, source.shape) if place not in axes]
    flat: Value = source
    if len(staying) != len(places):
        flat = p.reshape(source, shape=tuple(extent for _, extent in staying))
    result: Value = p.broadcast(
        flat,
        shape=tuple(factor.shape[axis] for axis in kept),
        axes=tuple(kept.index(place) for place, _ in staying),
    )
    return result


def _is_centred(g: Value, axes: Axes) -> bool:
    """Whether g is x - mean(x), with the mean over these axes."""
    if g.primitive is not p.subtract or g.node.inputs[1].primitive is not p.broadcast:
        return False
    x, repeated = g.node.inputs
    mean = repeated.node.inputs[0]
    kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
    if repeated.node.attributes["axes"] != kept or mean.primitive is not p.divide:
        return False
    summed, count = mean.node.inputs
    return (
        summed.primitive is p.reduce_sum
        and summed.node.inputs[0] is x
        and summed.node.attributes["axes"] == axes
        and splat(count) == x.size / max(summed.size, 1)
    )


def _nothing(g: Value, axes: Axes) -> Value:
    return full(tuple(extent for axis, extent in enumerate(g.shape) if axis not in axes), 0, g.dtype)


def _is_zero(value: Value) -> bool:
    return splat(value) == 0
