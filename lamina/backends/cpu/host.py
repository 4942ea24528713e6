"""From machine code back into Python: `host` is computed by the interpreter, in the middle of a step.

The kernel (`host_kernel`) hands over a description of the call and a table of addresses. One thread makes
the call, and the others wait at the barrier. What it raises ends the step without committing it, and is
raised by `run`.
"""

from __future__ import annotations

import ctypes
import json
from functools import lru_cache
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.interp import evaluate
from lamina.ir import primitives as p

Array = np.ndarray[Any, Any]
Type = tuple[np.dtype[Any], tuple[int, ...]]

failures: dict[int, BaseException] = {}  # by the address of the flag of the frame


@lru_cache(maxsize=1024)
def _parsed(text: bytes) -> tuple[dict[str, Any], list[Type], list[Type], list[int]]:
    found = json.loads(text)
    options = tuple(
        (name, tuple(value) if isinstance(value, list) else value) for name, value in found["options"]
    )
    inputs, outputs = (
        [(dtypes.to_numpy(dtype), tuple(shape)) for dtype, shape in found[side]]
        for side in ("inputs", "outputs")
    )
    return {"function": found["function"], "options": options}, inputs, outputs, found["copies"]


def _memory(address: int, kind: Type) -> Array:
    dtype, shape = kind
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if not size:
        return np.empty(shape, dtype)
    memory: Array = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
    return memory.view(dtype).reshape(shape)


def _call_back(description: int, length: int, table: int, flag: int) -> None:
    try:
        attributes, inputs, outputs, copies = _parsed(ctypes.string_at(description, length))
        addresses = list((ctypes.c_uint64 * (len(inputs) + sum(copies))).from_address(table))
        arrays = [_memory(address, kind) for address, kind in zip(addresses, inputs)]
        results = evaluate(p.host, arrays, attributes)
        targets = iter(addresses[len(inputs) :])
        for result, kind, count in zip(results, outputs, copies):
            for _ in range(count):
                _memory(next(targets), kind)[...] = result
    except BaseException as error:
        failures[flag] = error
        ctypes.c_int32.from_address(flag).value = 1


_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(
    _call_back
)


def address() -> int:
    """The address that kernels call."""
    return ctypes.cast(_CALLBACK, ctypes.c_void_p).value or 0


def raise_failure(flag: int) -> None:
    """Raise what a call within this frame raised, if one did."""
    error = failures.pop(flag, None)
    if error is not None:
        raise error
