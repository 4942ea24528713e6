"""What a metric is: state that batches update, and a result read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamina import ops
from lamina.core import dtypes
from lamina.core.errors import ArgumentError, StateError
from lamina.core.naming import auto_name, name_scope
from lamina.losses.base import compute_dtype
from lamina.variables import Variable


class Metric:
    """Base class of metrics: `update_state(...)` per batch, `result()` any time, `reset_state()` to restart.

    A subclass makes its state with `add_weight` and changes it with `assign`, in `lamina.ops` only; then the
    same code runs eagerly and compiled into the training step. `result` may return a tensor, a variable, or a
    dict of them.

    dtype: of values and result; None for the default float. name: in logs.

    Built-in metrics keep their totals in float64 (`add_total`): in float32, as in Keras, a count stops
    growing at 2^24 = 16,777,216 samples, and a sum loses digits long before. Results are of `dtype`.

    >>> class Positives(Metric):
    ...     def __init__(self, name="positives", **options):
    ...         super().__init__(name=name, **options)
    ...         self.total = self.add_weight(name="total", initializer="zeros")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.total.assign_add(ops.sum(ops.cast(y_pred > 0.5, self.dtype)))
    ...     def result(self):
    ...         return self.total
    """

    # "up" or "down" where it is known which way is better; callbacks with mode="auto" ask.
    _direction: str | None = None

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self._variables: list[Variable] = []
        self._metrics: list[Metric] = []
        self.name = name or auto_name(type(self).__name__)
        self._dtype = compute_dtype(dtype)

    @property
    def dtype(self) -> str:
        return self._dtype

    # --- state -------------------------------------------------------------------------------------

    def add_variable(
        self,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        aggregation: str | None = "sum",
        name: str | None = None,
    ) -> Variable:
        """A new piece of state; zeros unless an initializer (a name or callable) says otherwise."""
        self._check_initialized()
        with name_scope(self.name.replace("/", ">"), caller=self):
            variable = Variable(
                _zeros if initializer is None else initializer,
                shape=shape,
                dtype=dtype,
                trainable=False,
                autocast=False,
                aggregation=aggregation,
                synchronization="on_read",
                name=name,
            )
        self._variables.append(variable)
        return variable

    def add_weight(
        self,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        name: str | None = None,
        **options: Any,
    ) -> Variable:
        """`add_variable`, under the name that Keras code calls. `add_weight("total")` names it too."""
        if isinstance(shape, str):
            shape, name = (), shape
        return self.add_variable(shape=shape, initializer=initializer, dtype=dtype, name=name, **options)

    def add_total(self, name: str, shape: Sequence[int] = ()) -> Variable:
        """State that sums over all batches: zeros, in float64."""
        return self.add_variable(shape=tuple(shape), dtype="float64", name=name)

    @property
    def variables(self) -> list[Variable]:
        """This metric's state, then that of the metrics it holds."""
        held = [variable for metric in self._metrics for variable in metric.variables]
        return [*self._variables, *held]

    def reset_state(self) -> None:
        """Set all state back to zeros."""
        for variable in self.variables:
            variable.assign(ops.zeros(variable.shape, variable.dtype))

    # --- the three steps ---------------------------------------------------------------------------

    def update_state(self, *arguments: Any, **keywords: Any) -> Any:
        """Take in one batch."""
        raise NotImplementedError(f"{type(self).__name__} must define update_state(self, ...).")

    def result(self) -> Any:
        """The metric over everything taken in since the last reset."""
        raise NotImplementedError(f"{type(self).__name__} must define result(self).")

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Take in one batch; returns the result so far."""
        self._check_initialized()
        self.update_state(*arguments, **keywords)
        return self.result()

    def stateless_update_state(
        self, metric_variables: Sequence[Any], *arguments: Any, **keywords: Any
    ) -> list[Any]:
        """What the state would be after `update_state`, were it `metric_variables` now; nothing changes."""
        with _Substituted(self, metric_variables):
            self.update_state(*arguments, **keywords)
            return [variable.value for variable in self.variables]

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """The result if the state were `metric_variables`."""
        with _Substituted(self, metric_variables):
            found = self.result()
            return found.value if isinstance(found, Variable) else found

    def stateless_reset_state(self) -> list[Any]:
        """The state as it is after `reset_state`; nothing changes."""
        with _Substituted(self, [variable.value for variable in self.variables]):
            self.reset_state()
            return [variable.value for variable in self.variables]

    # --- configuration -----------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**config)

    def __setattr__(self, attribute: str, value: Any) -> None:
        if "_metrics" in vars(self) and attribute not in ("_metrics", "_variables"):
            self._track(value)
        super().__setattr__(attribute, value)

    def _track(self, value: Any) -> None:
        """State and metrics that are kept as attributes, also in lists and dicts, belong to this metric."""
        if isinstance(value, Variable):
            if not any(value is known for known in self._variables):
                self._variables.append(value)
        elif isinstance(value, Metric):
            if not any(value is known for known in self._metrics):
                self._metrics.append(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._track(item)
        elif isinstance(value, dict):
            for item in value.values():
                self._track(item)

    def _check_initialized(self) -> None:
        if "_metrics" not in vars(self):
            raise StateError(
                f"{type(self).__name__}.__init__() did not call super().__init__().",
                fix="make it the first line of __init__.",
            )

    def _as_result(self, value: Any) -> Any:
        """A total as a result: of `dtype`, or the default float where the metric counts in integers."""
        return ops.cast(value, self.dtype if dtypes.is_float(self.dtype) else None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class _Substituted:
    """Context in which the state of a metric has other values; afterwards it is as before."""

    def __init__(self, metric: Metric, values: Sequence[Any]) -> None:
        self._variables = metric.variables
        self._values = list(values)
        if len(self._values) != len(self._variables):
            raise ArgumentError(
                f"{type(metric).__name__}: metric_variables must line up with its variables.",
                expected=f"{len(self._variables)} tensors",
                got=str(len(self._values)),
            )
        self._before: list[Any] = []

    def __enter__(self) -> None:
        self._before = [variable.value for variable in self._variables]
        for variable, value in zip(self._variables, self._values):
            variable.assign(value)

    def __exit__(self, *_: object) -> None:
        for variable, value in zip(self._variables, self._before):
            variable.assign(value)


def _zeros(shape: Sequence[int], dtype: Any = None) -> Any:
    return ops.zeros(shape, dtype)
