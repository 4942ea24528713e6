"""Tracing: run the user's code once with symbolic tensors, and keep what it did as a graph.

`Tensor` is what user code holds inside a trace. `Trace` collects inputs and the state that was read and
written: anything with `shape`, `dtype`, `name` and `array` (a Variable) is state.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol

from lamina.core.errors import LaminaError, ShapeError
from lamina.core.scopes import Scope, contained
from lamina.core.shapes import Shape
from lamina.ir.graph import TensorType, Value, unique
from lamina.ir.primitives import input as input_primitive


class State(Protocol):
    """What a trace can read and assign. `array` keeps its identity and is updated in place."""

    @property
    def shape(self) -> Shape: ...
    @property
    def dtype(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def array(self) -> Any: ...


class TracedValueError(LaminaError, TypeError):
    """A number was asked of a tensor that only stands for one."""


# NumPy's names of operations that `lamina.ops` calls otherwise.
UFUNC_OPERATORS = {
    "divide": "true_divide",
    "remainder": "mod",
    "invert": "bitwise_not",
    "positive": "identity_of",
}

# Filled by `lamina.ops`: operator name ("add", "getitem", "astype", ...) -> function.
OPERATORS: dict[str, Callable[..., Any]] = {}


def _operator(name: str, reflected: bool = False) -> Callable[..., Any]:
    def forward(self: Any, *others: Any) -> Any:
        return OPERATORS[name](self, *others)

    def backward(self: Any, other: Any) -> Any:
        return OPERATORS[name](other, self)

    return backward if reflected else forward


class SymbolicOperators:
    """Python's operators as calls into `lamina.ops`; shared by Tensor and by the layer graph's
    KerasTensor.
    """

    __slots__ = ()
    __array_priority__ = 1000

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **keywords: Any) -> Any:
        """`array * tensor` and `array += tensor` are operators; NumPy's other functions need numbers."""
        operator = OPERATORS.get(UFUNC_OPERATORS.get(ufunc.__name__, ufunc.__name__))
        in_place = list(keywords) == ["out"] and keywords["out"][0] is operands[0]
        if method == "__call__" and operator is not None and (in_place or not keywords):
            return operator(*operands)
        raise TracedValueError(
            f"NumPy's {ufunc.__name__}() cannot compute with {self!r}, which has no numbers yet.",
            fix=f"use lamina.ops.{ufunc.__name__}, or what there is in lamina.ops for it.",
        )

    __add__, __radd__ = _operator("add"), _operator("add", reflected=True)
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", reflected=True)
    __mul__, __rmul__ = _operator("multiply"), _operator("multiply", reflected=True)
    __truediv__, __rtruediv__ = _operator("true_divide"), _operator("true_divide", reflected=True)
    __floordiv__, __rfloordiv__ = _operator("floor_divide"), _operator("floor_divide", reflected=True)
    __mod__, __rmod__ = _operator("mod"), _operator("mod", reflected=True)
    __pow__, __rpow__ = _operator("power"), _operator("power", reflected=True)
    __matmul__, __rmatmul__ = _operator("matmul"), _operator("matmul", reflected=True)
    __and__, __rand__ = _operator("bitwise_and"), _operator("bitwise_and", reflected=True)
    __or__, __ror__ = _operator("bitwise_or"), _operator("bitwise_or", reflected=True)
    __xor__, __rxor__ = _operator("bitwise_xor"), _operator("bitwise_xor", reflected=True)
    __lshift__, __rshift__ = _operator("left_shift"), _operator("right_shift")
    __eq__, __ne__ = _operator("equal"), _operator("not_equal")
    __lt__, __le__ = _operator("less"), _operator("less_equal")
    __gt__, __ge__ = _operator("greater"), _operator("greater_equal")
    __neg__, __abs__, __invert__ = _operator("negative"), _operator("absolute"), _operator("bitwise_not")
    __pos__ = _operator("identity_of")
    __getitem__ = _operator("getitem")
    __hash__ = object.__hash__


class Tensor(SymbolicOperators):
    """A value of the program being traced: it has a shape and a dtype, but no numbers yet."""

    __slots__ = ("__weakref__", "_keras_mask", "dtype", "shape", "value")

    def __init__(self, value: Value) -> None:
        self.value = value
        self.shape: Shape = value.shape
        self.dtype: str = value.dtype

    @property
    def ndim(self) -> int:
        return len(self.value.shape)

    @property
    def size(self) -> int:
        return self.value.size

    @property
    def T(self) -> Any:  # noqa: N802 - NumPy's name
        return OPERATORS["transpose"](self)

    def astype(self, dtype: Any) -> Any:
        return OPERATORS["cast"](self, dtype)

    def reshape(self, *shape: Any) -> Any:
        return OPERATORS["reshape"](
            self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        )

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("A scalar tensor has no length.")
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[index] for index in range(len(self)))

    def _number(self, wanted: str) -> Any:
        """The array of numbers, where the trace knows them (code that is run eagerly, step by step)."""
        tracing = current()
        known = None if tracing is None else tracing.evaluate(self.value)
        if known is None:
            raise TracedValueError(
                f"A traced tensor {self.value.type} has no {wanted}: this code runs once, to be compiled.",
                fix="use lamina.ops (where, maximum ...) instead of Python control flow or NumPy calls, "
                "or compile(run_eagerly=True).",
            )
        return known

    def __bool__(self) -> bool:
        return bool(self._number("truth value"))

    def __float__(self) -> float:
        return float(self._number("number").item())

    def __int__(self) -> int:
        return int(self._number("number").item())

    def __index__(self) -> int:
        return int(self._number("number").__index__())

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._number("array").astype(dtype or self._number("array").dtype)

    def numpy(self) -> Any:
        return self._number("array").copy()

    def __repr__(self) -> str:
        return f"<Tensor {self.value.type}>"


_innermost: Scope[Trace | None] = Scope(None)
_serials = itertools.count()


def current() -> Trace | None:
    """The innermost trace of this thread, or None when code runs eagerly."""
    return _innermost.value


def suspended() -> contained:
    """Context in which code runs eagerly, even while a program is traced: for making variables on the way."""
    return _innermost.holding(None)


class Trace:
    """Collects one program. Use as a context manager; `read` and `write` are called by state objects."""

    # Whether values have numbers while the code runs, so that Python can decide about loops and branches.
    knows_numbers = False

    def __init__(self) -> None:
        self.inputs: list[Value] = []
        self.states: list[State] = []
        self.state_inputs: list[Value] = []
        self._position: dict[int, int] = {}
        self._current: dict[int, Tensor] = {}
        self._blocks: list[contained] = []

    def __enter__(self) -> Trace:
        self._blocks.append(_innermost.holding(self))
        self._blocks[-1].__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._blocks.pop().__exit__()

    def input(self, name: str, shape: Shape, dtype: str) -> Tensor:
        """A new input of the program."""
        value = new_input(name, TensorType(tuple(shape), dtype))
        self.inputs.append(value)
        return Tensor(value)

    def read(self, state: State) -> Tensor:
        """The state's value at this point of the program."""
        found = self._current.get(id(state))
        if found is None:
            self._register(state)
            found = self._current[id(state)]
        return found

    def read_initial(self, state: State) -> Tensor:
        """The state's value when the step began."""
        self._register(state)
        return Tensor(self.state_inputs[self._position[id(state)]])

    def write(self, state: State, tensor: Any) -> None:
        """Record that the state has this value from here on."""
        self._register(state)
        self._current[id(state)] = Tensor(self.assigned(state, tensor))

    def assigned(self, state: State, tensor: Any) -> Value:
        """The value of `tensor`, which must have the state's type."""
        if type(tensor) is Tensor:
            value = tensor.value
        else:
            from lamina.ir.bind import as_value

            value = as_value(tensor)
        if value.shape != tuple(state.shape) or value.dtype != state.dtype:
            raise ShapeError(
                f"Cannot assign to '{state.name}'.",
                expected=str(TensorType(tuple(state.shape), state.dtype)),
                got=str(value.type),
            )
        return value

    def evaluate(self, value: Value) -> Any:
        """The array of a value, in traces that know the numbers of their inputs; None in all others."""
        return None

    def updates(self) -> list[tuple[int, Value]]:
        """(position of the state, its new value) for every state whose value changed."""
        return [
            (position, self._current[id(state)].value)
            for position, state in enumerate(self.states)
            if self._current[id(state)].value is not self.state_inputs[position]
        ]

    def _register(self, state: State) -> None:
        if id(state) in self._position:
            return
        value = new_input(state.name, TensorType(tuple(state.shape), state.dtype))
        self._position[id(state)] = len(self.states)
        self.states.append(state)
        self.state_inputs.append(value)
        self._current[id(state)] = Tensor(value)


def new_input(name: str, type: TensorType) -> Value:
    """A fresh input node: never equal to another, whatever its name."""
    return unique(input_primitive, {"type": type, "name": name, "serial": next(_serials)}, type)
