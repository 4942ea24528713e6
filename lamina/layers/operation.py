"""Operation: what layers and recorded ops share - a name, the calls recorded of them, a config."""

from __future__ import annotations

import copy
import inspect
from functools import lru_cache
from typing import Any, Self

from lamina.core import tree
from lamina.core.errors import ArgumentError, StateError
from lamina.core.naming import auto_name
from lamina.layers.node import Node

_SIMPLE = (str, int, float, bool, type(None))


class Operation:
    """A named thing that can be called on KerasTensors.

    A subclass whose constructor takes only plain values (numbers, strings, booleans, None, lists and dicts of
    them) gets `get_config` for free.
    """

    name: str
    _inbound_nodes: list[Node]
    _constructor_config: dict[str, Any] | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        instance = super().__new__(cls)
        # Past any __setattr__ of a subclass: nothing is initialised yet.
        instance.__dict__["_constructor_config"] = _plain_arguments(cls, args, kwargs)
        return instance

    def __init__(self, name: str | None = None) -> None:
        if name is None:
            name = auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name or not name:
            raise ArgumentError(
                f"The name of a {type(self).__name__} must be a non-empty string without '/'.", got=repr(name)
            )
        self.name = name
        self._inbound_nodes = []

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as a dict, from which `from_config` makes an equal object.

        Raises StateError when the class must write get_config itself.
        """
        config: dict[str, Any] = {"name": self.name}
        if not self._has_default_config():
            return config
        if self._constructor_config is None:
            raise StateError(
                f"{type(self).__name__} cannot be turned into a config by itself: its constructor was given "
                "objects, or positional-only or variadic arguments.",
                fix="write get_config(self): return {**super().get_config(), 'units': self.units} with every "
                "argument of the constructor, which passes **kwargs on to super().__init__().",
            )
        config.update(copy.deepcopy(self._constructor_config))
        return self._accepted(config)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """An object made from what `get_config` returned."""
        try:
            return cls(**config)
        except TypeError as error:
            raise TypeError(f"Cannot make a {cls.__name__} from the config {config}: {error}") from error

    @classmethod
    def _accepted(cls, config: dict[str, Any]) -> dict[str, Any]:
        """The entries that the constructor takes."""
        parameters = _constructor_signature(cls).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            return config
        return {key: value for key, value in config.items() if key in parameters}

    @classmethod
    def _has_default_config(cls) -> bool:
        """Whether nobody wrote a get_config for this class outside of the base classes."""
        return getattr(cls.get_config, "_is_default", False)

    @property
    def input(self) -> Any:
        """The KerasTensors of the first call."""
        tensors = _first_call(self).input_tensors
        return tensors[0] if len(tensors) == 1 else tensors

    @property
    def output(self) -> Any:
        """The KerasTensors that came out of the first call."""
        outputs = _first_call(self).outputs
        return outputs[0] if len(outputs) == 1 else outputs

    def __getstate__(self) -> dict[str, Any]:
        """The state without the layer graph: a copy of an operation stands alone."""
        state = dict(self.__dict__)
        state["_inbound_nodes"] = []
        return state

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def default(method: Any) -> Any:
    """Marks a method of a base class that subclasses may replace."""
    method._is_default = True
    return method


def is_default(method: Any) -> bool:
    return getattr(method, "_is_default", False)


default(Operation.get_config)


def _first_call(operation: Operation) -> Node:
    if not operation._inbound_nodes:
        raise AttributeError(
            f"'{operation.name}' was never called on an Input, so it has no symbolic input and output."
        )
    return operation._inbound_nodes[0]


@lru_cache(maxsize=1024)
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


def _constructor_signature(cls: Any) -> inspect.Signature:
    return _signature(cls.__init__)


def _plain_arguments(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments by name, defaults included; None when they do not describe the object as plain values."""
    signature = _constructor_signature(cls)
    try:
        bound = signature.bind(None, *args, **kwargs)
    except TypeError:
        return None  # __init__ itself is about to complain, or the object is being unpickled
    bound.apply_defaults()
    config: dict[str, Any] = {}
    for position, (name, parameter) in enumerate(signature.parameters.items()):
        value = bound.arguments[name]
        if position == 0 or name == "name":
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            config.update({key: entry for key, entry in value.items() if key != "name"})
        elif parameter.kind is parameter.VAR_POSITIONAL:
            if value:
                return None
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            return None
        else:
            config[name] = value
    if all(isinstance(leaf, _SIMPLE) for leaf in tree.leaves(config)):
        return config
    return None
