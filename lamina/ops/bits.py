"""Floats as the bits they are made of."""

from __future__ import annotations

from typing import Any

from lamina.core import dtypes
from lamina.core.errors import DTypeError, ShapeError
from lamina.ops.convert import as_tensor, dtype_of, pair
from lamina.ops.linear_algebra import host
from lamina.ops.registry import op


@op
def nextafter(x1: Any, x2: Any) -> Any:
    """The float next to x1 in the direction of x2; its derivative is that of x1.

    >>> nextafter(1.0, 2.0)
    Array(1.0000001, dtype=float32)
    """
    x1, x2 = pair(x1, x2, also=(float,))
    return host("nextafter", x1, x2)


@op
def view(x: Any, dtype: Any = None) -> Any:
    """The bytes of x read as another dtype, which is not bool.

    A dtype of another width makes the last axis longer or shorter; the bytes are those of a little-endian
    machine. No derivative flows through it.

    >>> view(1.0, "int32")
    Array(1065353216, dtype=int32)
    """
    x = as_tensor(x)
    target = dtype_of(x) if dtype is None else dtypes.standardize(dtype)
    if "bool" in (target, dtype_of(x)) and target != dtype_of(x):
        raise DTypeError(f"view cannot read {dtype_of(x)} as {target}.", fix="cast it.")
    wide, narrow = dtypes.itemsize(target), dtypes.itemsize(dtype_of(x))
    if wide != narrow and (not x.shape or x.shape[-1] * narrow % wide):
        raise ShapeError(
            f"view needs a last axis that holds whole numbers of {target}, {wide} bytes each.",
            got=f"{dtype_of(x)} of shape {tuple(x.shape)}",
        )
    return host("view", x, dtype=target)
