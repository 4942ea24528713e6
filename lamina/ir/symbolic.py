"""KerasTensor: a tensor of the layer graph, before any program exists. Only here may an extent be None.

`lamina.ops` asks `is_symbolic` and hands calls on KerasTensors to the recorder that the layers floor
installs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina.core.errors import LaminaError
from lamina.ir.trace import OPERATORS, SymbolicOperators, Tensor

_recorder: Callable[..., Any] | None = None


class SymbolicValueError(LaminaError, TypeError):
    """A number was asked of a tensor of the layer graph."""


class KerasTensor(SymbolicOperators):
    """A placeholder between layers: `shape` (None where the batch is unknown), `dtype`, `name`, and its
    origin.

    history: (operation, node index, output index) once an operation produced it, else None.
    """

    def __init__(
        self,
        shape: tuple[int | None, ...],
        dtype: str = "float32",
        sparse: bool = False,
        ragged: bool = False,
        record_history: bool = True,
        name: str | None = None,
        history: tuple[Any, int, int] | None = None,
    ) -> None:
        self.shape = tuple(shape)
        self.dtype = dtype
        self.sparse = sparse
        self.ragged = ragged
        self.name = name or "keras_tensor"
        self.history = history
        self._keras_mask: Any = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def reshape(self, newshape: Any) -> Any:
        return OPERATORS["reshape"](self, newshape)

    def squeeze(self, axis: Any = None) -> Any:
        return OPERATORS["squeeze"](self, axis)

    def astype(self, dtype: Any) -> Any:
        return OPERATORS["cast"](self, dtype)

    @property
    def T(self) -> Any:  # noqa: N802 - NumPy's name
        return OPERATORS["transpose"](self)

    def _no_number(self, *_: Any, **__: Any) -> Any:
        raise SymbolicValueError(
            f"A KerasTensor of shape {self.shape} stands for data that does not exist yet.",
            fix="build the model with layers and lamina.ops only, then call it on NumPy arrays.",
        )

    __bool__ = __float__ = __int__ = __index__ = __iter__ = __len__ = __array__ = numpy = _no_number

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


def set_recorder(recorder: Callable[..., Any]) -> None:
    """Install `recorder(function, args, kwargs)`, which adds a call of an op to the layer graph."""
    global _recorder
    _recorder = recorder


def is_symbolic(arguments: tuple[Any, ...], keywords: dict[str, Any] | None = None) -> bool:
    """Whether a KerasTensor is among the arguments, also inside lists, tuples and dicts."""
    for argument in arguments if not keywords else (*arguments, *keywords.values()):
        kind = type(argument)
        if kind is Tensor or kind is int or kind is float:
            continue
        if isinstance(argument, KerasTensor):
            return True
        if isinstance(argument, (list, tuple)) and is_symbolic(tuple(argument)):
            return True
        if isinstance(argument, dict) and is_symbolic(tuple(argument.values())):
            return True
    return False


def record(function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Add the call to the layer graph; the result is one or several KerasTensors."""
    if _recorder is None:
        raise RuntimeError("No recorder of layer graphs is installed: import lamina.layers.")
    return _recorder(function, arguments, keywords)
