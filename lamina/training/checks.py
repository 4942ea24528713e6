"""Arguments of compile, fit, evaluate and predict that make no sense, refused before anything happens."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from lamina.core import tree
from lamina.core.errors import ArgumentError, DataError, ShapeError, nearest
from lamina.ir.constants import splat
from lamina.ir.trace import Tensor


def whole_number(name: str, value: Any, least: int = 1, optional: bool = False) -> int | None:
    """`value` as an int; ArgumentError unless it is a whole number from `least` on (or None, if optional)."""
    if value is None and optional:
        return None
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least:
        raise ArgumentError(
            f"{name} must be a whole number, {least} or more{', or None' if optional else ''}.",
            got=f"{name}={value!r}",
            fix=f"{name}={int(value)}" if isinstance(value, float) and value.is_integer() else None,
        )
    return int(value)


def fit_arguments(
    *,
    batch_size: Any,
    epochs: Any,
    verbose: Any,
    validation_split: Any,
    shuffle: Any,
    initial_epoch: Any,
    steps_per_epoch: Any,
    validation_steps: Any,
    validation_batch_size: Any,
    validation_freq: Any,
) -> None:
    """ArgumentError for the first argument of `fit` that makes no sense."""
    whole_number("epochs", epochs)
    whole_number("initial_epoch", initial_epoch, least=0)
    if initial_epoch > epochs:
        raise ArgumentError(
            f"initial_epoch={initial_epoch} lies behind epochs={epochs}, so nothing would be trained.",
            fix="epochs is the number of the last epoch, not how many more to train.",
        )
    batch_arguments(batch_size, verbose)
    whole_number("steps_per_epoch", steps_per_epoch, optional=True)
    whole_number("validation_steps", validation_steps, optional=True)
    whole_number("validation_batch_size", validation_batch_size, optional=True)
    if not isinstance(validation_freq, (list, tuple, set, range)):
        whole_number("validation_freq", validation_freq)
    is_number = isinstance(validation_split, numbers.Real) and not isinstance(validation_split, bool)
    if validation_split is not None and (not is_number or not 0 <= validation_split < 1):
        raise ArgumentError(
            "validation_split is the fraction of the rows to validate on.",
            expected="a number from 0 up to, but not including, 1",
            got=f"validation_split={validation_split!r}",
        )
    if not isinstance(shuffle, bool) and shuffle != "batch":
        raise ArgumentError(f"shuffle must be True, False or 'batch', got {shuffle!r}.")


def batch_arguments(batch_size: Any, verbose: Any, steps: Any = None) -> None:
    """ArgumentError for the first argument that fit, evaluate and predict share and that makes no sense."""
    whole_number("batch_size", batch_size, optional=True)
    whole_number("steps", steps, optional=True)
    if verbose not in (0, 1, 2, "auto"):
        raise ArgumentError(f"verbose must be 0, 1, 2 or 'auto', got {verbose!r}.")


def compile_arguments(
    loss_weights: Any, metrics: Any, weighted_metrics: Any, steps_per_execution: Any
) -> None:
    """ArgumentError for the first argument of `compile` that makes no sense by itself."""
    whole_number("steps_per_execution", steps_per_execution)
    for name, value in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
        if value is not None and not isinstance(value, (list, tuple, Mapping)):
            raise ArgumentError(
                f"{name} must be a list, a tuple or a dict.",
                got=f"{name}={value!r}",
                fix=f"{name}=[{value!r}]",
            )
    for weight in tree.leaves(loss_weights):
        if weight is not None and (not isinstance(weight, numbers.Real) or isinstance(weight, bool)):
            raise ArgumentError(
                "loss_weights must be numbers, one for each output.", got=repr(loss_weights)[:80]
            )


def source_arguments(y: Any, sample_weight: Any, validation_split: Any, validation_data: Any) -> None:
    """ArgumentError for arguments that go with arrays only, when x yields batches."""
    given = {"y": y, "sample_weight": sample_weight}
    for name, value in given.items():
        if value is not None:
            raise ArgumentError(
                f"x yields batches, so {name} cannot be given beside it.",
                fix="let x yield (x, y) or (x, y, sample_weight).",
            )
    if validation_split and validation_data is None:
        raise ArgumentError(
            "validation_split needs arrays; x yields batches.", fix="pass validation_data instead."
        )


def reach_of(gradients: Sequence[Any]) -> None:
    """A warning when the loss depends on no weight: when it only counts or compares, or forgets y_pred."""
    if all(isinstance(slope, Tensor) and splat(slope.value) == 0 for slope in gradients):
        warnings.warn(
            "The loss has no gradient with respect to any weight: nothing will be learnt. "
            "Losses that count, round or compare, or do not use y_pred, are flat.",
            stacklevel=2,
        )


def metric_result(name: str, result: Any) -> Any:
    """What a metric's `result` returned; ArgumentError when that is no number, no tensor, no dict of them."""
    entries = result.values() if isinstance(result, Mapping) else [result]
    for entry in entries:
        if entry is None or isinstance(entry, (str, bytes)):
            raise ArgumentError(
                f"The metric '{name}' has no number as its result: {entry!r}.",
                expected="a tensor, a number, or a dict of them by name",
                fix="give result() a `return`." if entry is None else None,
            )
    return result


def unexpected_keywords(method: str, keywords: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """TypeError for an argument that the method does not have, with the nearest one that it has."""
    for name in keywords:
        near = nearest(name, known)
        hint = f" Did you mean '{near}'?" if near else ""
        raise TypeError(f"{method}() got an unexpected argument '{name}'.{hint}")


def inputs_fit(model: Any, x: Any) -> None:
    """DataError or ShapeError unless the arrays in `x` are those that the model's inputs ask for.

    Models that do not know their inputs (subclassed ones) say so themselves when they are called.
    """
    declared = getattr(model, "inputs", None)
    if not declared:
        return
    arrays = tree.flatten(x)
    names = [tensor.name for tensor in declared]
    if isinstance(x, Mapping):
        missing = [name for name in names if name not in x]
        if missing and len(x) != len(declared):
            raise DataError(
                f"x has no entry for the input {missing[0]!r}.",
                expected=f"a dict with {', '.join(names)}",
                got=f"keys {', '.join(map(str, x))}",
            )
        arrays = [x[name] for name in names] if not missing else arrays
    elif len(arrays) != len(declared):
        raise DataError(
            f"The model has {len(declared)} input{'s' * (len(declared) > 1)}, but x is {len(arrays)} arrays.",
            expected=f"one array for each of {', '.join(names)}",
            fix="stack the rows into one array: np.stack(x)." if len(declared) == 1 else None,
        )
    for tensor, leaf in zip(declared, arrays):
        if leaf is not None and len(leaf.array):
            _input_fits(leaf.name, tuple(leaf.array.shape[1:]), tuple(tensor.shape[1:]))


def _input_fits(name: str, got: tuple[int, ...], wanted: tuple[int | None, ...]) -> None:
    def fits(shape: tuple[int, ...]) -> bool:
        return len(shape) == len(wanted) and all(w in (None, g) for g, w in zip(shape, wanted))

    # As Keras does, models add or drop a last axis of one.
    if fits(got) or fits((*got, 1)) or (got[-1:] == (1,) and fits(got[:-1])):
        return
    fix = None
    if len(got) == len(wanted) == 1:
        fix = f"select the {wanted[0]} columns the model was made for, or make it with Input(({got[0]},))."
    elif len(wanted) == 1 and wanted[0] is not None:
        fix = f"reshape each row to {wanted[0]} numbers, or put a Flatten layer first."
    elif len(got) > 1 and fits((*got[1:], got[0])):
        fix = f"channels come last here: {name} = np.moveaxis({name}, 1, -1)."
    raise ShapeError(
        f"The rows of {name} have the wrong shape for the model.",
        expected=f"rows of shape {wanted}",
        got=f"rows of shape {got}",
        fix=fix,
    )
