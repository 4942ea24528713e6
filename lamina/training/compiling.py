"""`compile`: what a model is trained with. The first half of `Trainer`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lamina import losses, metrics, optimizers
from lamina.backends.registry import choose
from lamina.core import tree
from lamina.core.errors import ArgumentError, StateError
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.layers.tracking import untracked
from lamina.metrics import Mean
from lamina.training import checks
from lamina.training.compile_loss import CompileLoss
from lamina.training.compile_metrics import CompileMetrics, reset_all
from lamina.training.predict import Predictor
from lamina.training.programs import Programs
from lamina.training.report import CompileReport
from lamina.training.step import Steps

# Names that stand for one of several, depending on shapes.
_DEPENDENT = {"accuracy", "acc", "crossentropy", "ce"}


class Compiling(Steps):
    """The compiled state of a model: optimizer, losses, metrics, and the programs made of them."""

    compiled = False
    optimizer: Any = None
    loss: Any = None
    run_eagerly = False
    steps_per_execution = 1
    jit_compile = True
    stop_training = False
    _backend: str | None = None
    _compile_loss: CompileLoss | None = None
    _compile_metrics: CompileMetrics | None = None
    _loss_tracker: Any = None
    _compile_arguments: dict[str, Any] | None = None
    _trainable_when_compiled: tuple[tuple[Any, bool], ...] = ()
    _warned = False

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
        backend: str | None = None,
    ) -> None:
        """Say what the model is trained with. Layers that are frozen now stay so until the next `compile`.

        optimizer: a name or an Optimizer. loss: a name, a function of (y_true, y_pred), or a Loss; with
        several outputs a list, or a dict by the outputs' names. loss_weights: factors of the losses, in the
        same form. metrics: a list of names, functions or Metrics (for several outputs a list of lists, or a
        dict); "accuracy" stands for the one that fits the shapes. weighted_metrics: the same, with sample
        weights. run_eagerly: run the Python code at every step, for looking inside. steps_per_execution:
        batches between two calls of batch hooks. jit_compile: accepted for Keras; every program
        is compiled. auto_scale_loss: with the dtype policy "mixed_float16", put a LossScaleOptimizer around
        the optimizer. backend: "cpu", "reference", or None for the configured one.

        Raises ArgumentError for names that do not exist, with the nearest that does.

        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        """
        checks.compile_arguments(loss_weights, metrics, weighted_metrics, steps_per_execution)
        _check_names(loss, metrics, weighted_metrics)
        if backend is not None:
            choose(backend)
        output_names = getattr(self, "output_names", None)
        with untracked():
            self.optimizer = self._with_loss_scale(optimizers.get(optimizer), auto_scale_loss)
            self.loss = loss
            self.run_eagerly = bool(run_eagerly)
            self.steps_per_execution = int(steps_per_execution)
            self.jit_compile = not run_eagerly if jit_compile == "auto" else bool(jit_compile)
            self.stop_training = False
            self._backend = backend
            self._compile_loss = None if loss is None else CompileLoss(loss, loss_weights, output_names)
            self._compile_metrics = (
                CompileMetrics(metrics, weighted_metrics, output_names)
                if metrics or weighted_metrics
                else None
            )
            self._loss_tracker = Mean(name="loss")
            self._trainable_when_compiled = tuple(
                (layer, layer.trainable)
                for layer in self._flatten_layers()  # type: ignore[attr-defined]
            )
            self._compile_arguments = {
                "optimizer": self.optimizer,
                "loss": loss,
                "loss_weights": loss_weights,
                "metrics": metrics,
                "weighted_metrics": weighted_metrics,
                "run_eagerly": self.run_eagerly,
                "steps_per_execution": self.steps_per_execution,
                "jit_compile": self.jit_compile,
                **({} if auto_scale_loss else {"auto_scale_loss": False}),
            }
            self.compiled, self._warned = True, False
        self._forget_programs()

    def _with_loss_scale(self, optimizer: Any, wanted: bool) -> Any:
        """The optimizer, with a scaled loss where gradients in float16 would be too small without."""
        is_mixed = self.dtype_policy.name == "mixed_float16"  # type: ignore[attr-defined]
        if not (wanted and is_mixed) or isinstance(optimizer, optimizers.LossScaleOptimizer):
            return optimizer
        return optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")

    def _warn_of_frozen_layers(self) -> None:
        """Layers that were frozen or unfrozen after `compile` without effect: Keras' rule, and a trap."""
        changed = [layer.name for layer, flag in self._trainable_when_compiled if layer.trainable != flag]
        if changed and not self._warned:
            self._warned = True
            warnings.warn(
                f"Layers were frozen or unfrozen after compile(): {', '.join(changed[:5])}. "
                "It takes effect when compile() is called again.",
                stacklevel=4,
            )

    # --- programs ----------------------------------------------------------------------------------

    @property
    def _programs(self) -> Programs:
        programs: Programs | None = self.__dict__.get("_programs_")
        return self.__dict__.setdefault("_programs_", Programs(self)) if programs is None else programs

    @property
    def _predictor(self) -> Predictor:
        predictor: Predictor | None = self.__dict__.get("_predictor_")
        if predictor is None:
            predictor = self.__dict__.setdefault("_predictor_", Predictor(self._programs))
        return predictor

    def _forget_programs(self) -> None:
        """The model has changed (compiled anew, layers added): what was traced holds no longer."""
        self._programs.forget()
        self._predictor.forget()

    def _check_compiled(self, method: str) -> None:
        if not self.compiled:
            raise StateError(
                f"The model was not compiled, so {method}() does not know its loss.",
                fix='model.compile(optimizer="adam", loss=...) first.',
            )

    def compile_report(self) -> CompileReport:
        """What every program of this model became: kernels, what was fused, threads, costs, compile time."""
        executables = [program.executable for _, program in self._programs.all()]
        return CompileReport([executable.report for executable in executables if executable is not None])

    # --- metrics -----------------------------------------------------------------------------------

    @property
    def metrics(self) -> list[Any]:
        """The mean loss, the compiled metrics, the mean loss of each output, then those of the layers."""
        own = [self._loss_tracker, self._compile_metrics] if self.compiled else []
        found = [metric for metric in own if metric is not None]
        if self.compiled and self._compile_loss is not None:
            found += self._compile_loss.metrics
        found += self._metrics  # type: ignore[attr-defined]
        for layer in self._flatten_layers(include_self=False):  # type: ignore[attr-defined]
            if not isinstance(layer, Compiling):  # a model inside a model keeps its metrics to itself
                found += layer._metrics
        return found

    @property
    def metrics_names(self) -> list[str]:
        """The names of the numbers that `evaluate` returns, in that order, once they are known."""
        return self._names_in_order(self.get_metrics_result())

    def reset_metrics(self) -> None:
        """Let all metrics begin anew."""
        reset_all(self.metrics)

    def _resetting(self) -> Callable[[], None]:
        """`reset_metrics` for the epochs of one training, which looks for the metrics only once."""
        if type(self).reset_metrics is not Compiling.reset_metrics:
            return self.reset_metrics
        return partial(reset_all, self.metrics)

    def _names_in_order(self, logs: Mapping[str, Any]) -> list[str]:
        """Keras' order: by the metrics' own names as far as logs have them, the others sorted."""
        names: list[str] = []
        for metric in self.metrics:
            held = metric.metrics if isinstance(metric, CompileMetrics) else [metric]
            names += [entry.name for entry in held]
        first = [name for name in dict.fromkeys(names) if name in logs]
        return first + sorted(name for name in logs if name not in first)

    def _in_order(self, logs: Mapping[str, Any]) -> Any:
        """The logs as a list, or as one number if there is one."""
        values = [logs[name] for name in self._names_in_order(logs)]
        return values[0] if len(values) == 1 else values

    def _metric_direction(self, name: str) -> str | None:
        """Whether what the logs have under this name is better "up" or "down"; None if that is not known."""
        compiled = self._compile_metrics.entries if self._compile_metrics is not None else []
        by_name = {metric.name: metric for metric in self.metrics}
        by_name |= {entry.key: entry.metric for entry in compiled}
        direction: str | None = getattr(by_name.get(name), "_direction", None)
        return direction

    # --- configs -----------------------------------------------------------------------------------

    def get_compile_config(self) -> dict[str, Any]:
        """The arguments of `compile` as JSON can hold them; {} before."""
        if self._compile_arguments is None:
            return {}
        config: dict[str, Any] = serialize_object(self._compile_arguments)
        return config

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compile the model as `get_compile_config` described it."""
        if type(self).compile is not Compiling.compile:
            warnings.warn(
                f"{type(self).__name__} has a compile() of its own, so it was not compiled on loading: "
                "call it, or override get_compile_config() and compile_from_config().",
                stacklevel=2,
            )
            return
        self.compile(**{name: deserialize_object(value) for name, value in config.items()})
        if self.built:  # type: ignore[attr-defined]
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]


def _check_names(loss: Any, metric: Any, weighted_metric: Any) -> None:
    """Errors for names and objects that are no losses or metrics, before any data is seen."""
    for room, given, kind in ((losses, loss, "loss"), (metrics, (metric, weighted_metric), "metric")):
        for leaf in tree.leaves(given):
            if isinstance(leaf, str) and leaf.lower() not in _DEPENDENT:
                room.get(leaf)
            elif not (leaf is None or isinstance(leaf, str) or callable(leaf)):
                raise ArgumentError(f"{leaf!r} is no {kind}.", expected="a name, a function or an object")
            elif isinstance(leaf, type):
                raise ArgumentError(
                    f"The {kind} is the class {leaf.__name__}, not an object.", fix=f"{leaf.__name__}()"
                )
