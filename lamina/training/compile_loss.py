"""The loss that `compile` was given: one term for each loss of each output, weighted and summed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lamina import losses, metrics, ops
from lamina.core import tree
from lamina.core.config import config
from lamina.core.errors import ArgumentError, DataError, ShapeError
from lamina.training import targets
from lamina.training.arrays import Leaf
from lamina.training.outputs import Outputs, Path


@dataclass(frozen=True)
class Term:
    """One loss on one output. name: of the output (or the loss, if it has none), for logs and messages."""

    path: Path
    loss: Any
    weight: float | None
    name: str
    output_shape: tuple[int, ...]


class CompileLoss:
    """compile(loss=..., loss_weights=...) as one function of targets and predictions.

    What the names stand for is decided at the first call, when the shapes are known. With more than one term,
    `metrics` has the mean of each, named "<output>_loss".
    """

    def __init__(self, loss: Any, loss_weights: Any, output_names: Sequence[str] | None) -> None:
        self._loss = loss
        self._weights = loss_weights
        self._output_names = output_names
        self._outputs: Outputs | None = None
        self.terms: list[Term] = []
        self.metrics: list[Any] = []

    @property
    def is_built_in(self) -> bool:
        """Whether every loss is one of ours."""
        return all(leaf is None or _is_built_in(leaf) for leaf in tree.leaves(self._loss))

    @property
    def built(self) -> bool:
        return self._outputs is not None

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Decide which loss is for which output. ArgumentError or DataError when that cannot be said."""
        outputs = Outputs(y_pred, self._output_names)
        by_path = {path: _present(given) for path, given in self._losses_by_path(outputs).items()}
        needed = [path for path, identifiers in by_path.items() if identifiers]
        weights = outputs.assign(self._weights, "loss_weights")
        y_by_path = outputs.match(y_true, "y", needed)
        for path in needed:
            identifiers = by_path[path]
            for identifier, weight in zip(identifiers, _weights_for(identifiers, weights.get(path))):
                self._add_term(outputs, path, identifier, weight, y_by_path[path])
        if len(self.terms) > 1:
            self.metrics = [metrics.Mean(name=f"{name}_loss") for name in _distinct_names(self.terms)]
        self._outputs = outputs

    def _losses_by_path(self, outputs: Outputs) -> dict[Path, Any]:
        if outputs.single and isinstance(self._loss, (list, tuple)):
            return {outputs.paths[0]: self._loss}
        by_path = outputs.assign(self._loss, "loss")
        missing = [outputs.name(path) for path in outputs.paths if path not in by_path]
        if missing and not isinstance(outputs.structure, dict):
            raise ArgumentError(
                f"loss has no entry for the output {missing[0]!r}.",
                fix=f"{missing[0]!r}: None, if that output needs no loss.",
            )
        return by_path

    def _add_term(self, outputs: Outputs, path: Path, identifier: Any, weight: float | None, y: Any) -> None:
        if y is None:
            raise _no_targets(identifier)
        shape = tuple(outputs.tensors[path].shape)
        loss = losses.resolve_loss(identifier, tuple(y.shape), shape)
        self.terms.append(Term(path, loss, weight, outputs.name(path) or loss.name, shape))

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The total loss, a scalar; None when no output has a loss."""
        if self._outputs is None:
            self.build(y_true, y_pred)
        outputs = Outputs(y_pred, self._output_names)
        paths = list(dict.fromkeys(term.path for term in self.terms))
        y_by_path = outputs.match(y_true, "y", paths)
        weight_by_path = outputs.share(sample_weight, paths)
        total = None
        for position, term in enumerate(self.terms):
            y, output = y_by_path[term.path], outputs.tensors[term.path]
            if y is None:
                raise _no_targets(term.loss.name)
            targets.check_output(output, term.loss, term.name)
            targets.check_shapes(y, output, term.loss, term.name)
            value = ops.cast(term.loss(y, output, weight_by_path[term.path]), config.floatx)
            if len(value.shape):
                raise ShapeError(
                    f"The loss '{term.loss.name}' gives many numbers, and training needs one to minimise.",
                    expected="shape ()",
                    got=f"shape {tuple(value.shape)}",
                    fix='reduction="sum_over_batch_size", or ops.mean(...) of what it returns.',
                )
            if self.metrics:
                self.metrics[position].update_state(value, sample_weight=output.shape[0])
            if term.weight is not None:
                value = value * term.weight
            total = value if total is None else total + value
        return total

    def check_targets(self, y: Any) -> None:
        """DataError when the arrays in `y` (Leaf objects) hold what their losses cannot mean."""
        for check in self.checks_of(y):
            check()

    def checks_of(self, y: Any) -> list[Callable[[], None]]:
        """What these arrays have to pass, as functions that may be called whenever their values change."""
        if self._outputs is None:
            return []
        found = self._outputs.match(y, "y", list(dict.fromkeys(term.path for term in self.terms)))
        leaves = ((found[term.path], term) for term in self.terms)
        return [
            partial(targets.check_values, leaf, term.loss, term.output_shape)
            for leaf, term in leaves
            if isinstance(leaf, Leaf)
        ]


def _no_targets(loss: Any) -> DataError:
    return DataError(
        f"There are no targets for the loss {loss!r}.",
        fix="pass y, one target for each row of x; validation_data is a tuple (x, y).",
    )


def _is_built_in(identifier: Any) -> bool:
    kind = identifier if callable(identifier) and hasattr(identifier, "__module__") else type(identifier)
    return isinstance(identifier, str) or kind.__module__.startswith("lamina.losses")


def _present(given: Any) -> list[Any]:
    return [leaf for leaf in tree.leaves(given) if leaf is not None]


def _weights_for(identifiers: list[Any], given: Any) -> list[Any]:
    weights = tree.flatten(given)
    if len(weights) == 1:
        return weights * len(identifiers)
    if len(weights) != len(identifiers):
        raise ArgumentError(
            f"loss_weights has {len(weights)} numbers for an output with {len(identifiers)} losses."
        )
    return weights


def _distinct_names(terms: Sequence[Term]) -> list[str]:
    """The names of the terms; further losses of one output are told apart by the loss's name."""
    names: list[str] = []
    for term in terms:
        name = term.name if term.name not in names else f"{term.name}_{term.loss.name}"
        names.append(name if name not in names else f"{name}_{len(names)}")
    return names
