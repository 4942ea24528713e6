"""CategoryEncoding and Discretization: whole numbers to rows of zeros and ones, quantities to bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from lamina import ops
from lamina.core.config import config
from lamina.core.errors import ArgumentError, DataError, StateError
from lamina.ids import expect_ids
from lamina.ir.symbolic import KerasTensor
from lamina.layers.arguments import number, positive_integer
from lamina.layers.category_arguments import checked_mode, refuse_sparse
from lamina.layers.host import encoded_shape
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY

Array = np.ndarray[Any, Any]


def encoded(numbers: Any, mode: str, depth: int, dtype: str, weights: Any = None) -> Any:
    """Category numbers as "int", "one_hot", "multi_hot" or "count" of `depth` categories.

    The last axis is the sample of "multi_hot" and "count"; weights: what each entry counts.
    """
    if mode == "int":
        return ops.cast(numbers, dtype)
    rank = len(numbers.shape)
    if mode == "one_hot":
        if rank > 1 and numbers.shape[-1] == 1:
            numbers = ops.squeeze(numbers, -1)
        return ops.one_hot(numbers, depth, dtype=dtype)
    lines = ops.one_hot(numbers, depth, dtype=dtype)
    if weights is not None:
        lines = ops.multiply(lines, ops.expand_dims(weights, -1))
    axis = max(rank - 1, 0)
    if rank == 0:
        return lines
    return ops.max(lines, axis=axis) if mode == "multi_hot" else ops.sum(lines, axis=axis)


@REGISTRY.register
class CategoryEncoding(Layer):
    """Whole numbers below `num_tokens` as rows of `num_tokens` entries.

    output_mode: "multi_hot", (batch, n) -> (batch, num_tokens), 1 for each number that occurs; "count", how
    often it occurs, or the sum of `count_weights`, given when it is called; "one_hot", one row per number.
    DataError for numbers outside 0 ... num_tokens - 1.

    >>> CategoryEncoding(num_tokens=4)(np.array([[0, 1], [3, 3]]))
    Array([[1., 1., 0., 0.],
           [0., 0., 0., 1.]], dtype=float32)
    """

    _needs_build = False

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_tokens is None:
            raise ArgumentError(
                f"{describe_layer(self)} needs num_tokens.",
                fix="IntegerLookup finds out how many different numbers there are.",
            )
        self.num_tokens = positive_integer(num_tokens, "num_tokens", self)
        self.output_mode = checked_mode(output_mode, ("one_hot", "multi_hot", "count"), self)
        self.sparse = refuse_sparse(sparse, self)
        self.autocast = False

    @property
    def input_dtype(self) -> str:
        return "int32"

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        if count_weights is not None and self.output_mode != "count":
            raise ArgumentError(f"{describe_layer(self)}: count_weights go with output_mode='count' only.")
        numbers = ops.cast(inputs, "int32")
        expect_ids(numbers, self.num_tokens, describe_layer(self))
        weights = None if count_weights is None else ops.cast(count_weights, self.compute_dtype)
        return encoded(numbers, self.output_mode, self.num_tokens, self.compute_dtype, weights)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return encoded_shape(input_shape, self.output_mode, self.num_tokens)

    def compute_output_spec(self, inputs: Any, count_weights: Any = None) -> Any:
        return KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tokens": self.num_tokens, "output_mode": self.output_mode}


@REGISTRY.register
class Discretization(Layer):
    """Quantities to the number of the bin they fall into: bin i lies between boundaries i - 1 and i.

    bin_boundaries: increasing numbers; or num_bins: as many bins, which `adapt` fills about equally. epsilon:
    how exactly `adapt` finds quantiles; smaller is more exact. output_mode: "int", or "one_hot", "multi_hot",
    "count" of the bins.

    >>> Discretization([0.0, 1.0, 2.0])(np.array([[-1.5, 1.0], [0.5, 7.0]]))
    Array([[0, 2],
           [1, 3]], dtype=int32)
    """

    _needs_build = False

    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if (bin_boundaries is None) == (num_bins is None):
            raise ArgumentError(
                f"{describe_layer(self)} needs bin_boundaries or num_bins, one of them.",
                got=f"bin_boundaries={bin_boundaries}, num_bins={num_bins}",
            )
        self.num_bins = None if num_bins is None else positive_integer(num_bins, "num_bins", self)
        self.epsilon = number(epsilon, "epsilon", self, low=0, high=1)
        self.output_mode = checked_mode(output_mode, ("int", "one_hot", "multi_hot", "count"), self)
        self.sparse = refuse_sparse(sparse, self)
        self.bin_boundaries = None if bin_boundaries is None else _boundaries(bin_boundaries, self)
        self._summary: Array = np.zeros((2, 0), "float32")

    @property
    def output_dtype(self) -> str:
        return self.compute_dtype if self.output_mode != "int" else "int32"

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Set the boundaries to quantiles of `data`, an array or an iterable of batches."""
        if self.num_bins is None:
            raise StateError(f"{describe_layer(self)} was given its bin_boundaries, so it cannot adapt.")
        self.reset_state()
        if isinstance(data, (np.ndarray, list, tuple)) or hasattr(data, "__array__"):
            self.update_state(data)
        else:
            for position, batch in enumerate(data):
                if steps is not None and position >= steps:
                    break
                self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Take these numbers into the summary of all seen so far."""
        values = np.sort(np.asarray(data, "float32").reshape(-1))
        if not np.isfinite(values).all():
            raise DataError(f"{describe_layer(self)}: adapt() found values that are not finite.")
        step = max(len(values) * self.epsilon, 1)
        points = values[int(step - 1) :: int(step)]
        found = np.stack([points, np.full_like(points, step)])
        merged = np.concatenate([found, self._summary], axis=1)
        self._summary = _compressed(merged[:, np.argsort(merged[0])], self.epsilon)

    def finalize_state(self) -> None:
        """Turn the summary into boundaries."""
        if self.num_bins is None:
            return
        if not self._summary.size:
            raise DataError(f"{describe_layer(self)}: adapt() got no data.")
        self.bin_boundaries = _compressed(self._summary, 1.0 / self.num_bins)[0, :-1].tolist()

    def reset_state(self) -> None:
        """Forget the numbers seen so far."""
        self._summary = np.zeros((2, 0), "float32")

    def call(self, inputs: Any) -> Any:
        if self.bin_boundaries is None:
            raise StateError(
                f"{describe_layer(self)} has no boundaries yet.",
                fix="call adapt(data) on the training data, or give bin_boundaries=[...].",
            )
        bins = ops.digitize(inputs, np.asarray(self.bin_boundaries, config.floatx))
        return encoded(bins, self.output_mode, len(self.bin_boundaries) + 1, self.output_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        depth = self.num_bins if self.bin_boundaries is None else len(self.bin_boundaries) + 1
        return encoded_shape(input_shape, self.output_mode, depth)

    def compute_output_spec(self, inputs: Any) -> Any:
        return KerasTensor(self.compute_output_shape(inputs.shape), self.output_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            "bin_boundaries": self.bin_boundaries,
            "num_bins": self.num_bins,
            "epsilon": self.epsilon,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
            "name": self.name,
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        if config.get("num_bins") is None:
            return super().from_config(config)
        boundaries = config.get("bin_boundaries")
        layer = super().from_config({**config, "bin_boundaries": None})
        if boundaries is not None:
            layer.bin_boundaries = _boundaries(boundaries, layer)
        return layer


def _boundaries(given: Any, layer: Layer) -> list[float]:
    boundaries = [float(boundary) for boundary in given]
    if not boundaries or boundaries != sorted(boundaries) or not np.isfinite(boundaries).all():
        raise ArgumentError(
            f"{describe_layer(layer)} needs increasing boundaries.", got=f"bin_boundaries={given!r}"
        )
    return boundaries


def _compressed(summary: Array, epsilon: float) -> Array:
    """A weighted sample (points, weights) cut down to about 1 / epsilon points.

    Its points are quantiles of the larger one, by interpolation between cumulative weights.
    """
    if summary.shape[1] * epsilon < 1:
        return summary
    wanted = epsilon + np.arange(0.0, 1.0, epsilon)
    total = summary[1].cumsum()
    shares = total / total[-1]
    points = np.interp(wanted, shares, summary[0])
    weights = np.diff(np.interp(wanted, shares, total), prepend=0)
    return np.stack([points, weights]).astype("float32")
