"""Ops in the layer graph: `ops.sqrt(x)` and `x * 2` on KerasTensors become recorded calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from lamina.core.errors import unknown_name
from lamina.core.naming import auto_name, to_snake_case
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.ir import symbolic
from lamina.layers import infer
from lamina.layers.node import Node
from lamina.layers.operation import Operation
from lamina.layers.registry import REGISTRY
from lamina.ops.registry import OPS

# Names of recorded ops are Keras', which come from class names.
_NAMES = {"getitem": "get_item"}


@REGISTRY.register
class OpLayer(Operation):
    """One call of a public op on KerasTensors. It has no weights and is known by the op's name.

    operation: a name in `lamina.ops`. name: unique in the model; "add", "add_1", ... when left out. keywords:
    arguments that every call gets.
    Raises ArgumentError for an unknown op.

    >>> x = lamina.Input((3,))
    >>> model = lamina.Model(x, ops.sqrt(x) * 2)  # records "sqrt" and "multiply"
    """

    built = True

    def __init__(
        self, operation: str, name: str | None = None, keywords: Mapping[str, Any] | None = None
    ) -> None:
        if operation not in OPS:
            raise unknown_name("op", operation, OPS)
        super().__init__(name=auto_name(_NAMES.get(operation, operation)) if name is None else name)
        self.operation = operation
        self.keywords = dict(keywords or {})

    @property
    def label(self) -> str:
        """The op's name in capitals, as Keras calls the class: "GetItem"."""
        return "".join(part.capitalize() for part in _NAMES.get(self.operation, self.operation).split("_"))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not symbolic.is_symbolic(args, kwargs):
            return self.call(*args, **kwargs)
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return OPS[self.operation](*args, **{**self.keywords, **kwargs})

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return infer.output_spec(self.call, args, kwargs)

    def get_config(self) -> dict[str, Any]:
        config = {"name": self.name, "operation": self.operation}
        return {**config, "keywords": serialize_object(self.keywords)} if self.keywords else config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> OpLayer:
        return super().from_config({**config, "keywords": deserialize_object(config.get("keywords"))})


@REGISTRY.register
class FunctionLayer(OpLayer):
    """One call, on KerasTensors, of a function that an op made: by `custom_gradient` or `vectorize`.

    It can be saved when the function is registered.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self.function = function
        self.operation = str(getattr(function, "__name__", "function")).strip("<>")
        self.keywords = {}
        Operation.__init__(self, name=auto_name(self.operation) if name is None else name)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "function": serialize_object(self.function)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FunctionLayer:
        return cls(deserialize_object(config["function"]), name=config["name"])


def from_keras(class_name: str, config: Mapping[str, Any]) -> OpLayer:
    """The op of one of Keras' classes of ops: "GetItem" is "getitem". Empty settings are left out."""
    shown = to_snake_case(class_name)
    operation = next((op for op, name in _NAMES.items() if name == shown), shown)
    known = inspect.signature(OPS[operation]).parameters if operation in OPS else {}
    keywords = {key: value for key, value in config.items() if key != "name" and (key in known or value)}
    return OpLayer(operation, name=config.get("name"), keywords=keywords)


def _record(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    is_op = OPS.get(function.__name__) is function
    return (OpLayer(function.__name__) if is_op else FunctionLayer(function))(*args, **kwargs)


symbolic.set_recorder(_record)
