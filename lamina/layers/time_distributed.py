"""TimeDistributed: one layer applied to every time step."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.core.errors import ShapeError
from lamina.layers.basic import Wrapper
from lamina.layers.call_arguments import signature_of
from lamina.layers.input_spec import describe_layer
from lamina.layers.registry import REGISTRY


@REGISTRY.register
class TimeDistributed(Wrapper):
    """Applies a layer to every slice along axis 1: (batch, time, ...) -> (batch, time, ...).

    >>> TimeDistributed(Dense(3))(np.zeros((2, 5, 4), "float32")).shape
    (2, 5, 3)
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        super().build(self._slice_shape(input_shape))

    def _slice_shape(self, shape: Any) -> tuple[int | None, ...]:
        if len(shape) < 3:
            raise ShapeError(
                f"{describe_layer(self)} takes sequences.",
                expected="at least 3 axes: (batch, time, ...)",
                got=f"shape {tuple(shape)}",
            )
        return (shape[0], *shape[2:])

    def compute_output_shape(self, input_shape: Any) -> Any:
        inner = self.layer.compute_output_shape(self._slice_shape(input_shape))
        return (inner[0], input_shape[1], *inner[1:])

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if mask is not None and tuple(mask.shape[:2]) != tuple(inputs.shape[:2]):
            raise ShapeError(
                f"{describe_layer(self)}: the mask does not fit the sequences.",
                expected=f"shape {tuple(inputs.shape[:2])}",
                got=f"shape {tuple(mask.shape)}",
            )
        names = signature_of(type(self.layer).call).parameters
        keywords = {"training": training} if "training" in names else {}
        columns = []
        for time in range(inputs.shape[1]):
            if mask is not None and "mask" in names:
                keywords["mask"] = mask[:, time]
            columns.append(self.layer.call(inputs[:, time], **keywords))
        return ops.stack(columns, axis=1)
