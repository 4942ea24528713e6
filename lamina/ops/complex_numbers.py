"""Complex tensors. There is no complex dtype: a complex tensor is a pair (real part, imaginary part)."""

from __future__ import annotations

from typing import Any

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ops.arithmetic import multiply
from lamina.ops.convert import as_float, cast, convert_to_tensor
from lamina.ops.join import stack
from lamina.ops.math import cos, sin
from lamina.ops.registry import op


def floats(x: Any) -> Any:
    x = convert_to_tensor(x)
    return x if dtypes.is_float(dtypes.standardize(x.dtype)) else cast(x, dtypes.standardize(None))


def parts(x: Any, axes: int) -> tuple[Any, Any]:
    """The two parts of a complex tensor, which has at least so many axes."""
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ArgumentError(
            "A complex tensor is a pair of tensors: (real part, imaginary part).", got=type(x).__name__
        )
    real, imaginary = floats(x[0]), floats(x[1])
    if tuple(real.shape) != tuple(imaginary.shape) or real.ndim < axes:
        raise ShapeError(
            "The real and the imaginary part must have the same shape.",
            expected=f"{axes} or more axes",
            got=f"{tuple(real.shape)} and {tuple(imaginary.shape)}",
        )
    return real, imaginary


@op
def polar(abs_: Any, angle: Any) -> tuple[Any, Any]:
    """The complex numbers with these absolute values and angles in radians: (abs cos angle, abs sin angle).

    >>> polar([2.0], [0.0])
    (Array([2.], dtype=float32), Array([0.], dtype=float32))
    """
    return multiply(abs_, cos(angle)), multiply(abs_, sin(angle))


@op
def view_as_complex(x: Any) -> tuple[Any, Any]:
    """A tensor (..., 2) as a complex one: the last axis holds the real and the imaginary part.

    >>> view_as_complex([[1.0, 2.0], [3.0, 4.0]])
    (Array([1., 3.], dtype=float32), Array([2., 4.], dtype=float32))
    """
    x = as_float(x)
    if not x.shape or x.shape[-1] != 2:
        raise ShapeError(
            "The last axis of what is viewed as complex holds the real and the imaginary part.",
            expected="shape (..., 2)",
            got=f"shape {tuple(x.shape)}",
        )
    return x[..., 0], x[..., 1]


@op
def view_as_real(x: Any) -> Any:
    """A complex tensor, a pair of two parts, as one of shape (..., 2)."""
    return stack(list(parts(x, 0)), axis=-1)
