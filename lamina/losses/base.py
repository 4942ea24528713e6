"""What a loss is: one value per sample, weighted, masked, and reduced to one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any

import numpy as np

from lamina import ops
from lamina.core import dtypes, tree
from lamina.core.errors import ArgumentError, ShapeError, nearest
from lamina.core.naming import auto_name, to_snake_case
from lamina.core.serialization import deserialize_object, serialize_object

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none")


class Loss:
    """Base class of losses. A subclass writes `call(y_true, y_pred)`, which gives one value per sample.

    name: for logs. reduction: how the values become one number -
    "sum_over_batch_size" and "mean": their sum, divided by how many there are (masked ones do not count);
    "mean_with_sample_weight": their weighted mean, the weighted sum divided by the sum of all weights;
    "sum": their weighted sum; "none" or None: no reduction.
    dtype: what predictions and targets are cast to; None for the default float.

    >>> class MeanSquaredError(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return ops.mean(ops.square(y_pred - y_true), axis=-1)
    """

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        self.name = name or auto_name(type(self).__name__)
        self.reduction = check_reduction(reduction)
        self._dtype = compute_dtype(dtype)

    @property
    def dtype(self) -> str:
        return self._dtype

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss of predictions against targets.

        sample_weight: a number, or one weight per sample, or per value; its axes line up with the leading
        axes of the values. A mask on `y_pred`, or on what `call` returns, leaves values out.
        """
        mask = get_mask(y_pred)
        y_pred = _tensors(y_pred, self.dtype)
        y_true = self._convert_targets(y_true)
        values = self.call(y_true, y_pred)
        check_values(f"The loss '{self.name}'", values, y_pred, sample_weight)
        mask = both_masks(mask, get_mask(values))
        return reduce_weighted_values(values, sample_weight, mask, self.reduction, self.dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values, one per sample: usually the shape of `y_pred` without its last axis."""
        raise NotImplementedError(f"{type(self).__name__} must define call(self, y_true, y_pred).")

    def _convert_targets(self, y_true: Any) -> Any:
        return _tensors(y_true, self.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class LossFunctionWrapper(Loss):
    """A function `fn(y_true, y_pred, **options)` as a Loss; the options can be read as attributes."""

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._options = tuple(options)
        vars(self).update(options)

    def options(self) -> dict[str, Any]:
        """The keyword arguments that the function is called with."""
        return {option: getattr(self, option) for option in self._options}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if not tree.is_branch(y_true) and not tree.is_branch(y_pred):
            y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self.options())

    def get_config(self) -> dict[str, Any]:
        options = {key: serialize_object(value) for key, value in self.options().items()}
        return {**super().get_config(), "fn": serialize_object(self.fn), **options}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**{key: deserialize_object(value) for key, value in config.items()})


class BuiltInLoss(LossFunctionWrapper):
    """A loss function with a class of its own, whose constructor takes the options but not the function."""

    def get_config(self) -> dict[str, Any]:
        return {**Loss.get_config(self), "dtype": self.dtype, **self.options()}


class LabelLoss(BuiltInLoss):
    """A loss whose targets are class numbers: integers stay integers, so that no label is ever rounded."""

    def _convert_targets(self, y_true: Any) -> Any:
        return _tensors(y_true, None)


def object_name(target: Any) -> str:
    """The name in logs of a loss, a metric, or a function of targets and predictions."""
    own = getattr(target, "name", None)
    return str(own) if own else to_snake_case(getattr(target, "__name__", type(target).__name__))


# --- tensors ---------------------------------------------------------------------------------------


def compute_dtype(dtype: Any) -> str:
    """The dtype name of a name, a NumPy dtype, None, or a dtype policy (its `compute_dtype`)."""
    return dtypes.standardize(getattr(dtype, "compute_dtype", dtype))


def check_values(what: str, values: Any, y_pred: Any, sample_weight: Any) -> None:
    """ArgumentError unless `values` are numbers; ShapeError when their shape can be no result."""
    if values is None or isinstance(values, (str, bytes, Mapping)):
        raise ArgumentError(
            f"{what} returned {'nothing' if values is None else type(values).__name__}.",
            expected="a tensor: one number for each row, or one number",
            fix="give the function a `return`." if values is None else "return a tensor.",
        )
    shape, rows = getattr(values, "shape", ()), getattr(y_pred, "shape", ())
    weighed = np.shape(sample_weight) if not hasattr(sample_weight, "shape") else sample_weight.shape
    if shape and rows and weighed and weighed[0] == rows[0] != shape[0]:
        raise ShapeError(
            f"{what} returned values that sample_weight cannot weigh.",
            expected=f"{rows[0]} rows, one for each prediction",
            got=f"shape {tuple(shape)}",
            fix="reduce over the last axes only: ops.mean(..., axis=-1).",
        )
    if shape and rows and not weighed and not _comes_from(tuple(shape), tuple(rows)):
        raise ShapeError(
            f"{what} returned values of a shape that has nothing to do with the predictions.",
            expected=f"{rows[0]} numbers, one for each row, or one number",
            got=f"shape {tuple(shape)}",
            fix="reduce over the last axes, ops.mean(..., axis=-1), or over all of them, ops.mean(...).",
        )


def _comes_from(shape: tuple[int, ...], predictions: tuple[int, ...]) -> bool:
    """Whether values have rows (or several for each), or are what is left of predictions when axes go."""
    if shape[0] == 1 or (predictions[0] and shape[0] % predictions[0] == 0):
        return True
    rest = iter(predictions)
    return all(extent in rest for extent in shape)


def get_mask(tensor: Any) -> Any:
    """The boolean mask a layer or loss left on a tensor: True where an entry counts. None without one."""
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor: Any, mask: Any) -> Any:
    """`tensor`, with the mask left on it."""
    tensor._keras_mask = mask
    return tensor


def both_masks(mask: Any, other: Any) -> Any:
    """What two masks, either of which may be None, let through."""
    if mask is None or other is None:
        return other if mask is None else mask
    return ops.logical_and(mask, other)


def _tensors(structure: Any, dtype: str | None) -> Any:
    """Every leaf as a tensor. A nested list of numbers is one leaf."""
    if isinstance(structure, (list, tuple)) and all(
        isinstance(leaf, Number) for leaf in tree.leaves(structure)
    ):
        return ops.convert_to_tensor(structure, dtype)
    return tree.map_structure(lambda leaf: ops.convert_to_tensor(leaf, dtype), structure)


def squeeze_or_expand_to_same_rank(x: Any, y: Any, expand_rank_1: bool = True) -> tuple[Any, Any]:
    """Both with the same rank, if their ranks differ by one and the longer ends in an axis of extent 1.

    (n,) against (n, 1) becomes (n, 1) twice; any other pair loses the axis. With `expand_rank_1=False` the
    axis is always dropped. What cannot be helped this way is returned as it is.
    """
    if len(y.shape) == len(x.shape) + 1:
        y, x = squeeze_or_expand_to_same_rank(y, x, expand_rank_1)
    elif len(x.shape) == len(y.shape) + 1 and x.shape[-1] == 1:
        if len(y.shape) == 1 and expand_rank_1:
            y = ops.expand_dims(y, -1)
        else:
            x = ops.squeeze(x, -1)
    return x, y


def matching_pair(name: str, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets and predictions as tensors of the predictions' dtype and of one shape.

    A scalar target is allowed. Raises ShapeError instead of broadcasting (n,) against (n, k), which would
    train on the wrong pairs.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    if not dtypes.is_float(dtypes.standardize(y_pred.dtype)):
        y_pred = ops.cast(y_pred, dtypes.standardize(None))
    y_true = ops.cast(ops.convert_to_tensor(y_true), y_pred.dtype)
    if len(y_true.shape) == 0:
        return ops.broadcast_to(y_true, y_pred.shape), y_pred
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    if tuple(y_true.shape) != tuple(y_pred.shape):
        raise ShapeError(
            f"{name}: targets and predictions have different shapes.",
            expected=f"targets of shape {tuple(y_pred.shape)}, like the predictions",
            got=f"targets of shape {tuple(y_true.shape)}",
            fix=_shape_advice(tuple(y_true.shape), tuple(y_pred.shape)),
        )
    return y_true, y_pred


def _shape_advice(target: tuple[int, ...], output: tuple[int, ...]) -> str:
    if len(target) == len(output) - 1 and target == output[:-1]:
        return f"a last layer of 1 unit, not {output[-1]}; or a sparse loss if the targets are class numbers."
    if len(target) == len(output) and target[:-1] == output[:-1]:
        return f"a last layer of {target[-1]} units, not {output[-1]}; or targets that fit the {output[-1]}."
    return "compare model.output_shape with the shape of the targets."


# --- reduction -------------------------------------------------------------------------------------


def check_reduction(reduction: str | None) -> str | None:
    """The reduction itself; ArgumentError when it is none of REDUCTIONS and not None."""
    if reduction is not None and reduction not in REDUCTIONS:
        near = nearest(str(reduction), REDUCTIONS)
        raise ArgumentError(
            f"Unknown reduction {reduction!r}.",
            expected=f"one of {', '.join(REDUCTIONS)}, or None",
            fix=f"did you mean {near!r}?" if near else None,
        )
    return reduction


def reduce_weighted_values(
    values: Any,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: str | None = "sum_over_batch_size",
    dtype: Any = None,
) -> Any:
    """`values` times their weights, without the masked ones, reduced as `Loss` describes.

    A mean over nothing (no values, everything masked, weights that sum to zero) is 0.
    """
    check_reduction(reduction)
    values = ops.convert_to_tensor(values, dtype)
    weights = None
    if sample_weight is not None:
        weights, values = align(ops.convert_to_tensor(sample_weight, values.dtype), values, "sample_weight")
    if mask is not None:
        mask, values = align(ops.cast(mask, "bool"), values, "mask")
        # Not a product with zeros: what is masked may be NaN.
        values = ops.where(mask, values, ops.zeros_like(values))
    if weights is not None:
        values = values * weights
    if reduction in (None, "none"):
        return values
    total = ops.sum(values)
    if reduction == "sum":
        return total
    divisor = None if mask is None else ops.cast(mask, values.dtype)
    if reduction == "mean_with_sample_weight" and weights is not None:
        divisor = weights if divisor is None else weights * divisor
    count = ops.size(values)
    if divisor is None:
        return total / count if count else total
    # What has extent 1 along an axis counts for every value along it.
    return ops.divide_no_nan(total, ops.sum(divisor) * (count / max(ops.size(divisor), 1)))


def align(weights: Any, values: Any, kind: str) -> tuple[Any, Any]:
    """Weights (or a mask) of the rank of the values, so that the two broadcast against each other.

    The axes of the weights line up with the leading axes of the values: (n,) weighs the rows of (n, k).
    A scalar among values takes the shape of the weights. Raises ShapeError when they do not fit.
    """
    if len(values.shape) == 0:
        return weights, ops.broadcast_to(values, weights.shape)
    missing = len(values.shape) - len(weights.shape)
    shape = tuple(weights.shape)
    if missing > 0:
        shape = shape + (1,) * missing
    elif missing == -1 and shape[-1] == 1:
        shape = shape[:-1]
    fits = len(shape) == len(values.shape) and all(w in (1, v) for w, v in zip(shape, values.shape))
    if not fits:
        raise ShapeError(
            f"{kind} does not fit the values it weighs.",
            expected=f"the leading axes of {tuple(values.shape)}",
            got=f"shape {tuple(weights.shape)}",
            fix=f"give one entry per sample: shape ({values.shape[0]},).",
        )
    return (weights if shape == tuple(weights.shape) else ops.reshape(weights, shape)), values
