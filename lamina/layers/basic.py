"""Small layers: Identity, Lambda, Masking, Rescaling, and the base of layers that wrap another."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from lamina import ops
from lamina.core import tree
from lamina.core.errors import ArgumentError
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.ir.symbolic import KerasTensor
from lamina.layers import shapes
from lamina.layers.elementwise import Elementwise
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer
from lamina.layers.masks import with_mask
from lamina.layers.registry import REGISTRY


@REGISTRY.register
class Identity(Elementwise):
    """Gives back what it gets: a tensor, or a structure of tensors, of any dtype."""

    def call(self, inputs: Any) -> Any:
        return inputs

    def compute_output_spec(self, inputs: Any) -> Any:
        return tree.map_structure(lambda tensor: KerasTensor(tensor.shape, tensor.dtype), inputs)


@REGISTRY.register
class Lambda(Layer):
    """`function(inputs, **arguments)`, for an expression that is not worth a class.

    function: takes tensors, and `training` or `mask` if it names them. output_shape: shape without the
    batch, or a function of the input's shape; found by tracing when left out. mask: the output's mask, or a
    function `(inputs, mask)`. arguments: keyword arguments for `function`.

    A named function that is registered can be saved; a lambda cannot: loading never runs code from a file.

    >>> Lambda(lambda x: x**2)(np.array([3.0]))
    Array([9.], dtype=float32)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise ArgumentError(f"{describe_layer(self)} needs a function.", got=repr(function))
        self.function = function
        self.arguments = dict(arguments or {})
        self.mask = mask
        self.supports_masking = mask is not None
        self._output_shape = output_shape

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        named = inspect.signature(self.function).parameters
        extra = {name: value for name, value in (("mask", mask), ("training", training)) if name in named}
        return self.function(inputs, **self.arguments, **extra)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_spec(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        if self._output_shape is not None:
            found = self.compute_output_shape(tree.map_structure(shapes.shape_of, inputs))
            return shapes.map_shapes(lambda shape: KerasTensor(shape, self.compute_dtype), found)
        from lamina.layers import infer

        return infer.output_spec(self.call, (inputs,), {"mask": mask, "training": training})

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self._output_shape):
            return self._output_shape(input_shape)
        first = input_shape if shapes.is_shape(input_shape) else tree.flatten(input_shape)
        return shapes.map_shapes(lambda shape: (first[0], *shape), self._output_shape)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "function": serialize_object(self.function)}
        if self._output_shape is not None:
            config["output_shape"] = serialize_object(self._output_shape)
        if self.mask is not None:
            config["mask"] = serialize_object(self.mask)
        config["arguments"] = serialize_object(self.arguments)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config = dict(config)
        for entry in ("function", "output_shape", "mask", "arguments"):
            if isinstance(config.get(entry), dict):
                config[entry] = deserialize_object(config[entry])
        if isinstance(config.get("output_shape"), list):
            config["output_shape"] = tuple(config["output_shape"])
        return super().from_config(config)

    def _clone(self) -> Lambda:
        """A copy that calls the same Python function."""
        return type(self)(
            self.function,
            output_shape=self._output_shape,
            mask=self.mask,
            arguments=self.arguments,
            name=self.name,
            trainable=self.trainable,
            dtype=self.dtype_policy,
        )


@REGISTRY.register
class Masking(Elementwise):
    """Masks the time steps in which every feature equals `mask_value`, and sets them to 0.

    (batch, time, features) -> the same, carrying a mask (batch, time): False for the steps to be skipped.

    >>> Masking()(np.array([[[1.0], [0.0]]]))._keras_mask
    Array([[ True, False]])
    """

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        real = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return with_mask(ops.where(real, inputs, 0), ops.squeeze(real, axis=-1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mask_value": self.mask_value}


@REGISTRY.register
class Rescaling(Elementwise):
    """`inputs * scale + offset`, as floats; `scale` and `offset` are numbers or arrays that broadcast.

    >>> Rescaling(1 / 255)(np.array([0, 255], "uint8"))
    Array([0., 1.], dtype=float32)
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset

    def call(self, inputs: Any) -> Any:
        dtype = self.compute_dtype
        scale, offset = (_constant(entry, dtype) for entry in (self.scale, self.offset))
        return ops.add(ops.multiply(ops.cast(inputs, dtype), scale), offset)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": serialize_object(self.scale),
            "offset": serialize_object(self.offset),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        arrays = {entry: deserialize_object(config[entry]) for entry in ("scale", "offset")}
        return super().from_config({**config, **arrays})


def _constant(value: Any, dtype: str) -> Any:
    return value if isinstance(value, (int, float)) else ops.cast(np.asarray(value), dtype)


@REGISTRY.register
class Wrapper(Layer):
    """Base of layers that do something with another layer, `self.layer`, which it builds on the same input.

    Raises ArgumentError when `layer` is not a layer.
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(layer, Layer):
            raise ArgumentError(f"{describe_layer(self)} wraps a layer.", got=f"{layer!r}")
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": serialize_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return super().from_config({**config, "layer": deserialize_object(config["layer"])})
