"""Input: where data enters the layer graph."""

from __future__ import annotations

from typing import Any

from lamina.core import dtypes
from lamina.core.errors import ArgumentError
from lamina.ir.symbolic import KerasTensor
from lamina.layers import shapes
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer
from lamina.layers.node import Node
from lamina.layers.registry import REGISTRY


@REGISTRY.register
class InputLayer(Layer):
    """The layer behind `Input(...)`; it has the same arguments, and `output` is the KerasTensor."""

    _needs_build = False

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: KerasTensor | None = None,
        optional: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if sparse or ragged:
            raise ArgumentError(
                f"{describe_layer(self)}: Lamina has dense tensors only.", fix="leave out sparse, ragged."
            )
        if input_tensor is None:
            full = _full_shape(self, shape, batch_size, batch_shape)
            input_tensor = KerasTensor(full, _dtype(dtype), name=self.name)
        elif not isinstance(input_tensor, KerasTensor):
            raise ArgumentError(
                f"{describe_layer(self)}: the tensor must be a KerasTensor, got {input_tensor!r}."
            )
        else:
            _check_agreement(self, input_tensor, shape, batch_size, batch_shape, dtype)
        self.optional = optional
        self._batch_shape = tuple(input_tensor.shape)
        self._dtype = input_tensor.dtype
        Node(self, (), {}, input_tensor)

    @property
    def batch_shape(self) -> shapes.Shape:
        """The shape with the batch."""
        return self._batch_shape

    @property
    def dtype(self) -> str:
        return self._dtype

    def call(self) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": self.optional,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputLayer:
        config = dict(config)
        if "batch_input_shape" in config:
            config["batch_shape"] = config.pop("batch_input_shape")
        return super().from_config(config)


def Input(  # noqa: N802 - Keras' name
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: KerasTensor | None = None,
    optional: bool = False,
) -> KerasTensor:
    """A KerasTensor to build a model from.

    shape: of one example, None for extents that vary; or batch_shape: with the batch. batch_size: if it is
    fixed. dtype: "float32" by default; "string" for layers such as TextVectorization. name: the key of this
    input in a dict of data. tensor: a KerasTensor to use. optional: the model
    accepts None for it. Raises ArgumentError or ShapeError for what is no shape.

    >>> x = Input(shape=(784,))
    >>> model = lamina.Model(x, lamina.layers.Dense(10)(x))
    """
    layer = InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        input_tensor=tensor,
        optional=optional,
        name=name,
    )
    output: KerasTensor = layer.output
    return output


def _dtype(dtype: Any) -> str:
    """Numbers of a dtype, or strings, which layers on the host turn into numbers."""
    return "string" if dtype == "string" else dtypes.standardize(dtype)


def _full_shape(layer: InputLayer, shape: Any, batch_size: int | None, batch_shape: Any) -> shapes.Shape:
    if (shape is None) == (batch_shape is None) or (batch_shape is not None and batch_size is not None):
        raise ArgumentError(
            f"{describe_layer(layer)} needs one description of its shape.",
            expected="shape=(...), with batch_size if it is fixed; or batch_shape=(...)",
            got=f"shape={shape}, batch_size={batch_size}, batch_shape={batch_shape}",
        )
    if batch_shape is not None:
        return shapes.standardize(batch_shape, "batch_shape of an Input")
    return shapes.standardize((batch_size, *shapes.standardize(shape, "shape of an Input")))


def _check_agreement(
    layer: InputLayer, tensor: KerasTensor, shape: Any, batch_size: int | None, batch_shape: Any, dtype: Any
) -> None:
    fits = (
        (batch_size is None or tensor.shape[:1] == (batch_size,))
        and (shape is None or tuple(shape) == tensor.shape[1:])
        and (batch_shape is None or tuple(batch_shape) == tensor.shape)
        and (dtype is None or _dtype(dtype) == tensor.dtype)
    )
    if not fits:
        raise ArgumentError(
            f"{describe_layer(layer)}: the other arguments contradict the tensor.", got=f"{tensor!r}"
        )
