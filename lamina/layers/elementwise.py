"""The base of layers that have no weights and keep the shape of their input."""

from __future__ import annotations

from typing import Any

from lamina.layers.layer import Layer


class Elementwise(Layer):
    """A layer without weights whose output has the shape of its input."""

    _needs_build = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape
