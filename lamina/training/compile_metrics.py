"""The metrics that `compile` was given: for each output some, with and without sample weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lamina import metrics as metrics_room
from lamina.core import tree
from lamina.core.errors import ArgumentError
from lamina.ir.trace import current
from lamina.metrics import Metric
from lamina.training.checks import metric_result
from lamina.training.outputs import Outputs, Path


@dataclass(frozen=True)
class Entry:
    """A metric on an output. key: its name in logs. weighted: whether it takes the sample weights."""

    path: Path
    metric: Any
    key: str
    weighted: bool


class CompileMetrics:
    """compile(metrics=..., weighted_metrics=...) as one metric, whose result is a dict.

    What the names stand for is decided at the first update, when the shapes are known. Keys are the metrics'
    names, behind the name of the output when there are several, as in Keras.
    """

    name = "compile_metrics"

    def __init__(self, metrics: Any, weighted_metrics: Any, output_names: Sequence[str] | None) -> None:
        self._given = (("metrics", metrics), ("weighted_metrics", weighted_metrics))
        self._output_names = output_names
        self.entries: list[Entry] = []
        self.built = False

    @property
    def metrics(self) -> list[Any]:
        return [entry.metric for entry in self.entries]

    @property
    def variables(self) -> list[Any]:
        return [variable for metric in self.metrics for variable in metric.variables]

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Decide which metric is for which output. ArgumentError when that cannot be said."""
        outputs = Outputs(y_pred, self._output_names)
        taken: dict[str, int] = {}
        for what, given in self._given:
            by_path = self._metrics_by_path(outputs, given, what)
            targets = outputs.match(y_true, "y", list(by_path))
            for path, identifiers in by_path.items():
                for identifier in identifiers:
                    metric = _resolve(identifier, targets[path], outputs.tensors[path])
                    weighted = what == "weighted_metrics"
                    key = _key(outputs, path, metric.name)
                    if weighted and key in taken:
                        key = _key(outputs, path, f"weighted_{metric.name}")
                    count = taken[key] = taken.get(key, 0) + 1
                    key = key if count == 1 else f"{key}_{count - 1}"
                    self.entries.append(Entry(path, metric, key, weighted))
        self.built = True

    @staticmethod
    def _metrics_by_path(outputs: Outputs, given: Any, what: str) -> dict[Path, list[Any]]:
        if not given:
            return {}
        if outputs.single:
            return {outputs.paths[0]: _present(given)}
        by_path = {path: _present(entry) for path, entry in outputs.assign(given, what).items()}
        return {path: identifiers for path, identifiers in by_path.items() if identifiers}

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if not self.built:
            self.build(y_true, y_pred)
        outputs = Outputs(y_pred, self._output_names)
        paths = list(dict.fromkeys(entry.path for entry in self.entries))
        targets = outputs.match(y_true, "y", paths)
        weights = outputs.share(sample_weight, paths)
        for entry in self.entries:
            weight = (weights[entry.path],) if entry.weighted else ()
            entry.metric.update_state(targets[entry.path], outputs.tensors[entry.path], *weight)

    def reset_state(self) -> None:
        reset_all(entry.metric for entry in self.entries)

    def result(self) -> dict[str, Any]:
        return {entry.key: metric_result(entry.key, entry.metric.result()) for entry in self.entries}


def reset_all(metrics: Iterable[Any]) -> None:
    """reset_state() of each, by the shortest way where it is the one that all metrics inherit."""
    for metric in metrics:
        if type(metric).reset_state is Metric.reset_state and current() is None:
            for variable in metric.variables:
                variable.array.fill(0)
        else:
            metric.reset_state()


def _present(given: Any) -> list[Any]:
    return [leaf for leaf in tree.leaves(given) if leaf is not None]


def _key(outputs: Outputs, path: Path, name: str) -> str:
    output = None if outputs.single else outputs.name(path)
    return f"{output}_{name}" if output else name


def _resolve(identifier: Any, target: Any, output: Any) -> Any:
    if target is None:
        raise ArgumentError(f"There are no targets for the metric {identifier!r}.", fix="pass y.")
    metric = metrics_room.resolve_metric(identifier, tuple(target.shape), tuple(output.shape))
    if not callable(getattr(metric, "update_state", None)):
        raise ArgumentError(f"{identifier!r} is no metric.", expected="a name, a function or a Metric")
    return metric
