"""Running sums and means, and the mean of a function of targets and predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from lamina import ops
from lamina.core import dtypes
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.losses.base import align, both_masks, check_values, get_mask
from lamina.metrics.base import Metric


def weighted(values: Any, sample_weight: Any, mask: Any, dtype: str) -> tuple[Any, Any]:
    """(values times their weights, the weights before broadcasting or None), in at least float32.

    What is masked counts as 0, whatever it holds.
    """
    dtype = dtypes.result_type(dtype, "float32") if dtypes.is_float(dtype) else dtype
    values = ops.cast(ops.convert_to_tensor(values), dtype)
    weights = None
    if sample_weight is not None:
        weights, values = align(ops.convert_to_tensor(sample_weight, dtype), values, "sample_weight")
    if mask is not None:
        mask, values = align(ops.cast(mask, "bool"), values, "mask")
        values = ops.where(mask, values, ops.zeros_like(values))
        ones = ops.ones_like(mask, dtype) if weights is None else weights
        weights = ops.where(mask, ones, ops.zeros_like(ones))
    return (values if weights is None else values * weights), weights


def weights_for(values: Any, sample_weight: Any, mask: Any, dtype: str = "float32") -> Any:
    """One weight per value: sample weights times mask, ones where there is neither.

    Of the rank of the values, with extent 1 along axes where all weights are the same.
    """
    weights = ops.ones((1,) * len(values.shape), dtype)
    for given, kind in ((sample_weight, "sample_weight"), (mask, "mask")):
        if given is not None:
            aligned, _ = align(ops.convert_to_tensor(given, dtype), values, kind)
            weights = weights * aligned
    return weights


class Sum(Metric):
    """The (weighted) sum of all values.

    >>> total = Sum()
    >>> total.update_state([1.0, 2.0], sample_weight=[1.0, 0.5])
    >>> float(total.result())
    2.0
    """

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_total("total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, _ = weighted(values, sample_weight, get_mask(values), self.dtype)
        self.total.assign_add(ops.sum(values))

    def result(self) -> Any:
        return self._as_result(self.total)


class Mean(Metric):
    """The (weighted) mean over samples; a sample's value is the mean over its own axes.

    sample_weight: a number, one per sample (batch,), or one per value; lines up with the leading axes.
    A mask on the values leaves them out. Without any sample, or any weight, the result is 0.

    >>> mean = Mean()
    >>> mean.update_state([1.0, 3.0], sample_weight=[3.0, 1.0])
    >>> float(mean.result())
    1.5
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_total("total")
        self.count = self.add_total("count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        self._add(values, sample_weight, get_mask(values))

    def _add(self, values: Any, sample_weight: Any, mask: Any) -> None:
        values, weights = weighted(values, sample_weight, mask, self.dtype)
        samples = values.shape[0] if len(values.shape) else 1
        per_sample = math.prod(values.shape[1:])
        total = ops.sum(values)
        self.total.assign_add(total / per_sample if per_sample > 1 else total)
        self.count.assign_add(samples if weights is None else _weight_of_samples(weights, samples))

    def result(self) -> Any:
        return self._as_result(ops.divide_no_nan(self.total, self.count))


def _weight_of_samples(weights: Any, samples: int) -> Any:
    """The sum over samples of the mean weight of each. Along axes of extent 1, a weight stands for many."""
    given = math.prod(weights.shape)
    total = ops.sum(weights)
    return total if given in (0, samples) else total * (samples / given)


class MeanMetricWrapper(Mean):
    """The mean of `fn(y_true, y_pred, **options)`; the options can be read as attributes.

    >>> metric = MeanMetricWrapper(lamina.losses.mean_squared_error, name="mse")
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **options: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.fn = fn
        self._options = tuple(options)
        for option, value in options.items():
            setattr(self, option, value)

    def options(self) -> dict[str, Any]:
        """The keyword arguments that the function is called with."""
        return {option: getattr(self, option) for option in self._options}

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        values = self.fn(y_true, y_pred, **self.options())
        check_values(f"The metric '{self.name}'", values, y_pred, sample_weight)
        self._add(values, sample_weight, both_masks(get_mask(y_pred), get_mask(values)))

    def get_config(self) -> dict[str, Any]:
        options = {key: serialize_object(value) for key, value in self.options().items()}
        return {**super().get_config(), "fn": serialize_object(self.fn), **options}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**{key: deserialize_object(value) for key, value in config.items()})


class BuiltInMean(MeanMetricWrapper):
    """A mean whose class knows the function, and whose constructor takes only the options."""

    def get_config(self) -> dict[str, Any]:
        return {**Metric.get_config(self), **self.options()}
