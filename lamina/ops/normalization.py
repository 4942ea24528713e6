"""Moments and the normalisations that stand on them; computed in at least float32."""

from __future__ import annotations

import math
from typing import Any

from lamina.core.config import config
from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.shapes import normalize_axes, normalize_axis
from lamina.ir import primitives as p
from lamina.ops.convert import as_float, as_tensor, dtype_of, elementwise, like, wider_float
from lamina.ops.move import reshaped
from lamina.ops.reduce import keep_axes, mean_of, repeat_reduced
from lamina.ops.registry import op


@op
def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> tuple[Any, Any]:
    """(mean, variance) of x over `axes`."""
    if synchronized:
        raise ArgumentError("moments over several replicas (synchronized=True) are not there yet.")
    x = as_float(x)
    kind = dtype_of(x)
    wide = as_tensor(x, wider_float(kind))
    places = normalize_axes(axes, len(x.shape))
    mean, centred = _centred(wide, places)
    variance = mean_of(p.multiply(centred, centred), places, False)
    if kind in ("float16", "bfloat16"):
        # What overflows half precision is brought to its edge.
        mean, variance = _within_half(mean), _within_half(variance)
    if keepdims:
        mean, variance = keep_axes(mean, x, places), keep_axes(variance, x, places)
    return as_tensor(mean, kind), as_tensor(variance, kind)


def _within_half(x: Any) -> Any:
    return p.minimum(p.maximum(x, like(x, -65504.0)), like(x, 65504.0))


def _centred(x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    mean = mean_of(x, axes, False)
    return mean, p.subtract(x, repeat_reduced(mean, x, axes))


def _along(parameter: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """A parameter with one entry per place along `axes`, ready to be broadcast against x."""
    parameter = as_tensor(as_tensor(parameter), dtype_of(x))
    if len(parameter.shape) == len(x.shape):
        return parameter
    shape = tuple(x.shape[axis] if axis in axes else 1 for axis in range(len(x.shape)))
    if parameter.size != math.prod(shape):
        raise ShapeError(f"A parameter of shape {parameter.shape} does not fit axes {axes} of x {x.shape}.")
    return reshaped(parameter, shape)


@op
def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None, **kwargs: Any
) -> Any:
    """(x - mean) / sqrt(variance + epsilon) over `axis`, times gamma, plus beta.

    Source: J. Ba, J. Kiros, G. Hinton, "Layer Normalization" (2016).
    """
    rms_scaling = kwargs.pop("rms_scaling", False)
    if kwargs:
        raise ArgumentError(f"layer_normalization has no argument {next(iter(kwargs))!r}.")
    x = as_float(x)
    kind = dtype_of(x)
    x = as_tensor(x, wider_float(kind))
    axes = normalize_axes(axis, len(x.shape))
    _, centred = _centred(x, axes)
    variance = mean_of(p.multiply(centred, centred), axes, False)
    scale = p.rsqrt(p.add(variance, like(variance, config.epsilon if epsilon is None else epsilon)))
    result = p.multiply(x if rms_scaling else centred, repeat_reduced(scale, x, axes))
    if gamma is not None:
        result = elementwise(p.multiply, result, _along(gamma, x, axes))
    if beta is not None and not rms_scaling:
        result = elementwise(p.add, result, _along(beta, x, axes))
    return as_tensor(result, kind)


@op
def rms_normalization(x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None) -> Any:
    """x / sqrt(mean(x^2) + epsilon) over `axis`, times scale.

    Source: B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization" (2019).
    """
    x = as_float(x)
    if not x.shape:
        x = reshaped(x, (1,))
    kind = dtype_of(x)
    x = as_tensor(x, wider_float(kind))
    axes = normalize_axes(axis, len(x.shape))
    square = mean_of(p.multiply(x, x), axes, False)
    inverse = p.rsqrt(p.add(square, like(square, config.epsilon if epsilon is None else epsilon)))
    result = p.multiply(x, repeat_reduced(inverse, x, axes))
    if scale is not None:
        result = elementwise(p.multiply, result, as_tensor(as_tensor(scale), dtype_of(x)))
    return as_tensor(result, kind)


@op
def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Any:
    """(x - mean) / sqrt(variance + epsilon), times scale, plus offset; one entry of each along `axis`."""
    x = as_float(x)
    places = (normalize_axis(axis, len(x.shape)),)
    variance = as_tensor(as_tensor(variance), dtype_of(x))
    factor = p.rsqrt(p.add(variance, like(variance, epsilon)))
    if scale is not None:
        factor = elementwise(p.multiply, factor, as_tensor(as_tensor(scale), dtype_of(x)))
    result = elementwise(
        p.multiply, elementwise(p.subtract, x, _along(mean, x, places)), _along(factor, x, places)
    )
    return result if offset is None else elementwise(p.add, result, _along(offset, x, places))
