"""A row of the tables of layers: what a layer is made from, what it is called on, what is known of it.

The factory takes a `layers` module, so that a row makes the layer of Lamina and that of Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """shapes: of the inputs, with the batch; more than one is passed as a list. output: its shape.

    weights: trainable ones in order, with the names of the layers inside before them. state: the others.
    seeds: number of random generators. random: whether training changes the output.
    integers: the inputs are whole numbers.
    """

    name: str
    make: Callable[[Any], Any]
    shapes: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    weights: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    seeds: int = 0
    random: bool = False
    integers: bool = False

    def inputs(self, seed: int = 0) -> Any:
        rng = np.random.default_rng(seed)
        arrays = [
            rng.integers(0, 9, shape).astype("int32")
            if self.integers
            else rng.normal(size=shape).astype("float32")
            for shape in self.shapes
        ]
        return arrays[0] if len(arrays) == 1 else arrays
