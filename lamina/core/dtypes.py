"""The dtypes, and the one table that says which dtype comes out when two meet.

A dtype is its canonical name, a plain string such as `"float32"`. Python scalars take part in promotion
weakly, as in Keras 3 and JAX: `float32 * 2.0` stays float32, `int32 * 2.0` becomes the default float.

Source of the lattice: JAX, "JEP 9407: Design of Type Promotion Semantics", with Keras' rule that a 64-bit
integer meeting a float does not widen it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from lamina.core.config import config
from lamina.core.errors import DTypeError, nearest

FLOATS = ("float16", "bfloat16", "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = SIGNED + UNSIGNED
ALL = ("bool",) + UNSIGNED + SIGNED + FLOATS

_NUMPY: dict[str, np.dtype[Any]] = {
    name: np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name) for name in ALL
}
_NAME: dict[np.dtype[Any], str] = {dtype: name for name, dtype in _NUMPY.items()}
_PYTHON: dict[Any, str] = {bool: "bool", int: "int32", float: "float"}
_ALIASES = {"half": "float16", "double": "float64", "int": "int32"}

# Weak members stand for Python scalars: they have a kind but no width.
WEAK_INT, WEAK_FLOAT = "int*", "float*"

# The promotion lattice: from each dtype, the next wider ones. The least common ancestor is the result.
_WIDER: dict[str, tuple[str, ...]] = {
    "bool": (WEAK_INT,),
    WEAK_INT: ("uint8", "int8"),
    "uint8": ("int16", "uint16"),
    "uint16": ("int32", "uint32"),
    "uint32": ("int64", "uint64"),
    "uint64": (WEAK_FLOAT,),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": (WEAK_FLOAT,),
    WEAK_FLOAT: ("bfloat16", "float16"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64",),
    "float64": (),
}


def _ancestors(name: str) -> frozenset[str]:
    found = {name}
    for wider in _WIDER[name]:
        found |= _ancestors(wider)
    return frozenset(found)


_ANCESTORS = {name: _ancestors(name) for name in _WIDER}


@cache
def _join(first: str, second: str) -> str:
    common = _ANCESTORS[first] & _ANCESTORS[second]
    return next(name for name in common if common <= _ANCESTORS[name])


def standardize(dtype: Any) -> str:
    """The canonical name of `dtype`: a name, a NumPy dtype, a Python type, or None for the default float.

    Raises DTypeError for anything Lamina has no arithmetic for (strings, objects, complex numbers, dates).
    """
    if dtype is None:
        return config.floatx
    if isinstance(dtype, str):
        if dtype in _NUMPY:
            return dtype
        if dtype == "float":
            return config.floatx
        if dtype in _ALIASES:
            return _ALIASES[dtype]
        raise DTypeError(
            f"Unknown dtype '{dtype}'.",
            expected=f"one of {', '.join(ALL)}",
            fix=f"did you mean '{nearest(dtype, ALL)}'?" if nearest(dtype, ALL) else None,
        )
    if isinstance(dtype, type) and dtype in _PYTHON:
        name = _PYTHON[dtype]
        return config.floatx if name == "float" else name
    try:
        found = _NAME.get(np.dtype(dtype).newbyteorder("="))
    except TypeError:
        found = getattr(dtype, "name", None)
        found = found if found in _NUMPY else None
    if found is None:
        raise DTypeError(
            f"Lamina has no arithmetic for dtype {dtype!r}.", expected=f"one of {', '.join(ALL)}"
        )
    return found


def to_numpy(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype object of a canonical name (or of anything `standardize` takes)."""
    return _NUMPY[dtype] if isinstance(dtype, str) and dtype in _NUMPY else _NUMPY[standardize(dtype)]


def of_numpy(dtype: np.dtype[Any]) -> str:
    """The canonical name of a NumPy dtype; DTypeError when there is none."""
    return _NAME[dtype] if dtype in _NAME else standardize(dtype)


def result_type(*dtypes: Any) -> str:
    """The dtype of an operation on operands of these dtypes.

    A Python scalar's type (`bool`, `int`, `float`) counts as weak.

    >>> result_type("int32", "float16"), result_type("float32", float), result_type("int32", float)
    ('float16', 'float32', 'float32')
    """
    if not dtypes:
        raise ValueError("result_type() needs at least one dtype.")
    names = [_weak(dtype) for dtype in dtypes]
    joined = names[0]
    for name in names[1:]:
        joined = _join(joined, name)
    if joined == WEAK_INT:
        return "int32"
    return config.floatx if joined == WEAK_FLOAT else joined


def _weak(dtype: Any) -> str:
    if dtype is int:
        return WEAK_INT
    if dtype is float:
        return WEAK_FLOAT
    return standardize(dtype)


def is_float(dtype: str) -> bool:
    return dtype in FLOATS


def is_integer(dtype: str) -> bool:
    return dtype in INTEGERS


def is_unsigned(dtype: str) -> bool:
    return dtype in UNSIGNED


def summed(dtype: str) -> str:
    """The dtype in which numbers of `dtype` are added up: float32 for half precision."""
    return "float32" if dtype in ("float16", "bfloat16") else dtype


def itemsize(dtype: str) -> int:
    """Bytes of one element."""
    return _NUMPY[dtype].itemsize


def limits(dtype: str) -> tuple[Any, Any]:
    """The smallest and the largest value of `dtype` (infinities for floats)."""
    if is_float(dtype):
        return -np.inf, np.inf
    if dtype == "bool":
        return False, True
    information = np.iinfo(_NUMPY[dtype])
    return int(information.min), int(information.max)
