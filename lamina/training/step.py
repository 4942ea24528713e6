"""THE page: what one step of training, testing and predicting is.

These methods are ordinary functions of tensors. They are run once, traced, and what they did is compiled into
one native program, backward pass and updates included. A model may override any of them.
"""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.core import dtypes, tree
from lamina.core.config import config
from lamina.core.errors import StateError
from lamina.function import gradients, guard
from lamina.training import checks
from lamina.training.data import unpack_x_y_sample_weight


class Steps:
    """The steps of a model. `Trainer` compiles and repeats them.

    >>> class WithNoise(lamina.Model):
    ...     def train_step(self, data):
    ...         x, y = data
    ...         loss = self.compute_loss(y=y, y_pred=self(x + lamina.random.normal(x.shape), training=True))
    ...         variables = self.trainable_variables
    ...         self.optimizer.apply(lamina.gradients(loss, variables), variables)
    ...         return {"loss": loss}
    """

    optimizer: Any
    _compile_loss: Any
    _compile_metrics: Any
    _loss_tracker: Any

    def train_step(self, data: Any) -> dict[str, Any]:
        """Forward, loss, backward, update, metrics. data: (x, y) or (x, y, sample_weight), of one batch.

        Returns what appears in the logs. If the loss or a gradient is not finite, nothing of the step is
        kept.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        variables = self.trainable_variables  # type: ignore[attr-defined]

        y_pred = self(x, training=True)  # type: ignore[operator]
        loss = self._loss_of(x, y, y_pred, sample_weight, training=True)
        guard(loss)
        self._track_loss(loss, x)

        if variables:
            slopes = gradients(self.optimizer.scale_loss(loss), variables)
            checks.reach_of(slopes)
            if not self.optimizer.skips_nonfinite_gradients:
                for slope in slopes:
                    guard(slope)
            self.optimizer.apply(slopes, variables)

        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Forward, loss, metrics, with training=False; returns what appears in the logs."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)  # type: ignore[operator]
        loss = self._loss_of(x, y, y_pred, sample_weight, training=False)
        self._track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs for one batch."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)  # type: ignore[operator]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The number to minimise: the compiled losses, what layers added with `add_loss`, and regularisation.

        Raises StateError when there is none of these.
        """
        terms = []
        if self._compile_loss is not None:
            compiled = self._compile_loss(y, y_pred, sample_weight)
            terms += [] if compiled is None else [compiled]
        terms += [_as_scalar(loss) for loss in self.losses]  # type: ignore[attr-defined]
        if not terms and training:
            raise StateError(
                "There is no loss to minimise.",
                fix="compile(loss=...), or add_loss(...) inside a layer's call().",
            )
        total = ops.zeros(())
        for position, term in enumerate(terms):
            total = total + term if position else term
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Take the batch into the compiled metrics; returns the results of all metrics by name."""
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """The result of every metric of the model, by name."""
        results: dict[str, Any] = {}
        for metric in self.metrics:  # type: ignore[attr-defined]
            result = checks.metric_result(metric.name, metric.result())
            results.update(result if isinstance(result, dict) else {metric.name: result})
        return results

    def _loss_of(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        """`compute_loss`, also where it was overridden without the argument `training`."""
        if takes_argument(self.compute_loss, "training"):
            return self.compute_loss(x, y, y_pred, sample_weight, training=training)
        return self.compute_loss(x, y, y_pred, sample_weight)

    def _track_loss(self, loss: Any, x: Any) -> None:
        rows = next((tensor.shape[0] for tensor in tree.leaves(x) if tensor is not None), 1)
        self._loss_tracker.update_state(loss, sample_weight=rows)


def takes_argument(method: Any, name: str) -> bool:
    """Whether a bound method names this argument."""
    code = method.__func__.__code__
    return name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _as_scalar(loss: Any) -> Any:
    loss = ops.convert_to_tensor(loss)
    return ops.sum(loss if dtypes.is_float(dtypes.standardize(loss.dtype)) else ops.cast(loss, config.floatx))
