"""StackedRNNCells: several cells as one, each fed with the output of the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from lamina import ops
from lamina.core.errors import ArgumentError
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer
from lamina.layers.recurrent import cell_step, forget_masks, prepare_masks
from lamina.layers.registry import REGISTRY


@REGISTRY.register
class StackedRNNCells(Layer):
    """A cell made of cells; its state is the list of their states.

    >>> RNN(StackedRNNCells([LSTMCell(4), LSTMCell(3)]))(np.zeros((2, 5, 3), "float32")).shape
    (2, 3)
    """

    def __init__(self, cells: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for cell in cells:
            if not callable(cell) or getattr(cell, "state_size", None) is None:
                raise ArgumentError(
                    f"{describe_layer(self)} is made of cells: callable, with a state_size.",
                    got=f"{cell!r:.80}",
                )
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> Any:
        return _output_size(self.cells[-1])

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        """Those of the cells."""
        found = []
        for cell in self.cells:
            if hasattr(cell, "get_initial_state"):
                found.append(cell.get_initial_state(batch_size=batch_size))
                continue
            sizes = cell.state_size if isinstance(cell.state_size, (list, tuple)) else [cell.state_size]
            found.append([ops.zeros((batch_size, size), self.compute_dtype) for size in sizes])
        return found

    def build(self, input_shape: Any) -> None:
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build(input_shape)
            input_shape = (input_shape[0], _output_size(cell))

    def call(self, inputs: Any, states: Any, training: Any = False) -> tuple[Any, Any]:
        new_states = []
        for cell, state in zip(self.cells, states):
            alone = not isinstance(state, (list, tuple))
            inputs, new = cell_step(cell, training)(inputs, [state] if alone else list(state))
            new_states.append(new[0] if alone else new)
        return inputs, new_states

    def draw_masks(self, inputs: Any, states: Any, training: Any) -> None:
        """The dropout masks of every cell, for one whole sequence."""
        for cell, state in zip(self.cells, states):
            prepare_masks(cell, inputs, state, training)
            inputs = ops.zeros((inputs.shape[0], _output_size(cell)), self.compute_dtype)

    def drop_masks(self) -> None:
        """The sequence is over."""
        for cell in self.cells:
            forget_masks(cell)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cells": [serialize_object(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return super().from_config(
            {**config, "cells": [deserialize_object(cell) for cell in config["cells"]]}
        )


def _output_size(cell: Any) -> Any:
    size = getattr(cell, "output_size", None)
    if size is not None:
        return size
    return cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size
