"""`fit`, `evaluate` and `predict`: what Model has from this floor."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.core import tree
from lamina.core.config import config
from lamina.core.interrupts import deferred_interrupts, interrupt_gate
from lamina.interp.array import Array
from lamina.ir.symbolic import KerasTensor
from lamina.random import make_default_seed
from lamina.training import checks, weights
from lamina.training.arrays import Leaf, to_leaves
from lamina.training.callbacks import CallbackList, History
from lamina.training.compiling import Compiling
from lamina.training.data import (
    ArrayAdapter,
    DataAdapter,
    DataSet,
    permutation_of,
    unpack_x_y_sample_weight,
)
from lamina.training.hooks import FitHooks, TestHooks
from lamina.training.loop import Loop
from lamina.training.programs import trainable_as_compiled
from lamina.training.run import Position, Run
from lamina.training.sources import (
    adapter_of_rows,
    adapter_of_source,
    batches_of,
    is_source,
    warn_of_sorted_labels,
)
from lamina.training.user_batches import UserBatches


class Trainer(Compiling):
    """Training and inference of models: `compile`, `fit`, `evaluate`, `predict`, and the one-batch forms."""

    history: History

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> History:
        """Train for some epochs; returns the History of losses and metrics.

        x, y: arrays, tables, or lists or dicts of them, one row per sample; or x yields batches (x, y) or
        (x, y, sample_weight). batch_size: rows per step, 32 by default. verbose: 0 silent, 1 a moving line,
        2 a line per epoch, "auto" what suits the output. validation_split: fraction of the last rows not to
        train on. validation_data: (x, y), (x, y, sample_weight), or batches. shuffle: True for a new order
        in each epoch, decided by `set_random_seed` alone; "batch" for the rows within each batch.
        class_weight: {class: weight}, with several outputs {output: {class: weight}}; sample_weight: one
        weight per row (or per row and time step), with several outputs a list or dict; the two are
        multiplied. initial_epoch: the epoch to go on from, where `epochs` is the last one. steps_per_epoch:
        batches that make an epoch. validation_freq: validate every so many epochs, or in these (a list).

        Data, targets and arguments are checked before the first step: DataError, ShapeError, ArgumentError. A
        step whose loss or gradient is not finite is not applied: NonFiniteError says where it came from.
        After Ctrl-C the model is as after some whole step, and `model.history` has the epochs so far.

        >>> history = model.fit(x, y, epochs=5, validation_split=0.2)
        >>> history.history["val_loss"]
        """
        self._check_compiled("fit")
        checks.fit_arguments(
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            validation_split=validation_split,
            shuffle=shuffle,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )
        self.history = History()
        order_seed = make_default_seed()
        order = permutation_of(order_seed, shuffle)
        if config.max_epochs is not None and epochs > config.max_epochs:
            warnings.warn(
                f"Limiting epochs to {config.max_epochs}: see lamina.config.set_max_epochs.", stacklevel=2
            )
            epochs = config.max_epochs
        numbers = range(initial_epoch, epochs)
        passes: dict[str, Any] = {"permutation": order, "epochs": len(numbers), "first_pass": initial_epoch}
        validation: DataAdapter | None = None
        validation_batch = validation_batch_size or batch_size
        if is_source(x):
            checks.source_arguments(y, sample_weight, validation_split, validation_data)
            train = adapter_of_source(x, UserBatches(self, class_weight), steps_per_epoch, **passes)
        else:
            data = self._data_set(x, y, sample_weight, class_weight)
            if validation_split and validation_data is None:
                data, held_out = data.split(validation_split)
                warn_of_sorted_labels(to_leaves(y, "y", False), data, held_out)
                validation = adapter_of_rows(held_out, validation_batch, validation_steps, repeat=False)
            train = adapter_of_rows(data, batch_size, steps_per_epoch, **passes)
        if validation_data is not None:
            due = sum(_is_due(epoch, validation_freq) for epoch in numbers)
            validation = self._validation(validation_data, validation_batch, validation_steps, due)

        train.check_passes(len(numbers))
        with interrupt_gate():
            self._prepare("train", train)
            if validation is not None:
                validation.check_passes(sum(_is_due(epoch, validation_freq) for epoch in numbers))
                self._prepare("test", validation)
            if not isinstance(callbacks, CallbackList):
                callbacks = CallbackList(
                    callbacks,
                    add_progbar=verbose != 0,
                    model=self,
                    verbose=verbose,
                    epochs=epochs,
                    steps=train.steps,
                )
            try:
                self.history = callbacks.add_history()
                run = Run(order_seed, callbacks, train.first_batch())
                callbacks.set_run(run)
                self.stop_training = False
                callbacks.on_train_begin()
                if run.resumed_at is not None:
                    train.reorder(permutation_of(run.order_seed, shuffle))
                self._fit(train, validation, run, numbers, validation_freq)
            finally:
                train.close()
                if validation is not None:
                    validation.close()
                callbacks.on_exit()
        return self.history

    def _fit(
        self,
        train: DataAdapter,
        validation: DataAdapter | None,
        run: Run,
        epochs: range,
        validation_freq: Any,
    ) -> None:
        callbacks = run.callbacks
        hooks = FitHooks(self, callbacks)
        training = Loop(self._programs, "train", train, hooks)
        testing = None
        if validation is not None:
            testing = Loop(self._programs, "test", validation, TestHooks(self, callbacks, progress=False))
        logs: dict[str, Any] = {}
        start = run.resumed_at or Position(0, 0)
        reset_metrics = self._resetting()
        for epoch in epochs:
            if epoch < start.epoch:
                training.leave_out_epoch()
                continue
            done = start.step if epoch == start.epoch else 0
            hooks.epoch = epoch
            if not done:
                reset_metrics()
            callbacks.on_epoch_begin(epoch)
            logs = training.epoch(done) or self.get_metrics_result()
            if testing is not None and not hooks.ended and _is_due(epoch, validation_freq):
                found = self._test(testing, callbacks, reset_metrics)
                logs |= {f"val_{name}": value for name, value in found.items()}
            if not hooks.ended:
                callbacks.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        with deferred_interrupts():
            self.optimizer.finalize_variable_values(self.trainable_weights)  # type: ignore[attr-defined]
        callbacks.on_train_end(logs)

    def _test(
        self, testing: Loop, callbacks: CallbackList, reset_metrics: Callable[[], None]
    ) -> dict[str, Any]:
        callbacks.on_test_begin()
        reset_metrics()
        logs = testing.epoch()
        callbacks.on_test_end(logs)
        return logs

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The loss and metrics on data, with training=False, as a list in the order of `metrics_names`.

        One number alone comes without a list. Arguments are those of `fit`. steps: the number of batches to
        stop after. return_dict: a dict by name.
        """
        checks.unexpected_keywords("evaluate", kwargs, _EVALUATE)
        self._check_compiled("evaluate")
        checks.batch_arguments(batch_size, verbose, steps)
        if is_source(x):
            checks.source_arguments(y, sample_weight, None, None)
            adapter = adapter_of_source(x, UserBatches(self), steps, repeat=False)
        else:
            data = self._data_set(x, y, sample_weight)
            adapter = adapter_of_rows(data, batch_size, steps, repeat=False)
        with interrupt_gate():
            self._prepare("test", adapter)
            if not isinstance(callbacks, CallbackList):
                callbacks = CallbackList(
                    callbacks,
                    add_progbar=verbose != 0,
                    model=self,
                    verbose=verbose,
                    epochs=1,
                    steps=adapter.steps,
                )
            try:
                testing = Loop(self._programs, "test", adapter, TestHooks(self, callbacks))
                logs = self._test(testing, callbacks, self.reset_metrics)
            finally:
                adapter.close()
                callbacks.on_exit()
        return logs if return_dict else self._in_order(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for all rows of `x`, with training=False. Any thread may call it, also during `fit`.

        batch_size: rows at a time; left out, it is chosen for speed if rows do not influence each other.
        verbose: "auto" shows progress only where it takes long.
        """
        if callbacks is None and steps is None and batch_size is None and type(x) in _PLAIN_ARRAYS:
            ready = self._predictor.fast("predict", x)
            if ready is not None and verbose in (0, "auto"):
                return ready(x)
        checks.batch_arguments(batch_size, verbose, steps)
        return self._predict_batches(x, batch_size, verbose, steps, callbacks)

    def _predict_batches(
        self, x: Any, batch_size: int | None, verbose: Any, steps: int | None, callbacks: Any
    ) -> Any:
        from lamina.training.prediction_loop import predict

        data = batches_of(x) if is_source(x) else self._data_set(x, finite=False)
        self._ensure_built(data if isinstance(data, DataSet) else None)
        given = x if self._host_stage is None else None
        return predict(self, data, given, batch_size, verbose, steps, callbacks)

    # --- one batch ---------------------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step on these rows. Returns the loss and metrics on them, as `evaluate` does."""
        self._check_compiled("train_on_batch")
        return self._on_batch("train", self._data_set(x, y, sample_weight, class_weight), return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """The loss and metrics on these rows, as `evaluate` returns them."""
        self._check_compiled("test_on_batch")
        return self._on_batch("test", self._data_set(x, y, sample_weight), return_dict)

    def _on_batch(self, kind: str, data: DataSet, return_dict: bool) -> Any:
        adapter = ArrayAdapter(data.loaded(), data.rows, repeat=False)
        self._prepare(kind, adapter)
        self.reset_metrics()
        hooks = {"train": FitHooks, "test": TestHooks}[kind](self, CallbackList())
        logs = Loop(self._programs, kind, adapter, hooks).epoch()
        return logs if return_dict else self._in_order(logs)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for these rows, in one go."""
        if type(x) in _PLAIN_ARRAYS:
            ready = self._predictor.fast("batch", x)
            if ready is not None:
                return ready(x)
        data = self._data_set(x, finite=False).loaded()
        self._ensure_built(data)
        return self._predictor.batch(data, "batch", x if self._host_stage is None else None)

    # --- preparation -------------------------------------------------------------------------------

    def _data_set(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, finite: bool = True
    ) -> DataSet:
        """What the user gave as arrays that belong together, checked as far as that needs no program."""
        prepared = self._prepare_on_host(x)
        x = to_leaves(prepared, "x", finite)
        y = to_leaves(y, "y", finite=self._refuses_nonfinite("y"))
        sample_weight = weights.checked(to_leaves(sample_weight, "sample_weight"))
        if class_weight is not None:
            names = getattr(self, "output_names", None)
            sample_weight = weights.weigh_classes(y, sample_weight, class_weight, names)
        if self._host_stage is None:
            checks.inputs_fit(self, x)
        return DataSet(x, y, sample_weight)

    def _refuses_nonfinite(self, name: str) -> bool:
        """Whether NaN and infinities are refused in the array of this name."""
        # A loss of the user's own may give NaN a meaning, such as "not known".
        return not name.startswith("y") or self._compile_loss is None or self._compile_loss.is_built_in

    # What of the model runs on the host, before the compiled part; models with a graph say.
    _host_stage: Any = None

    def _prepare_on_host(self, x: Any) -> Any:
        """`x` with strings and categories as numbers, if the model begins with layers that do so."""
        stage = self._host_stage
        return x if stage is None or x is None else stage.prepare(self, x)

    def _validation(self, data: Any, batch_size: int | None, steps: int | None, epochs: int) -> DataAdapter:
        if not isinstance(data, (tuple, list)) and is_source(data):
            return adapter_of_source(data, UserBatches(self), steps, False, epochs)
        return adapter_of_rows(
            self._data_set(*unpack_x_y_sample_weight(data)), batch_size, steps, repeat=False
        )

    def _prepare(self, kind: str, adapter: DataAdapter) -> None:
        """Everything that can fail before the first step, and the programs for the batches that will come."""
        sample = adapter.sample()
        self._ensure_built(sample)
        if kind == "train":
            self._warn_of_frozen_layers()
            if not self.trainable_variables:  # type: ignore[attr-defined]
                warnings.warn("The model has no trainable weights: nothing will be learnt.", stacklevel=3)
        programs = [self._programs.get(kind, batch_type) for batch_type in adapter.batch_types()]
        sample.check_ids(programs[0].id_checks)
        self._check_targets(adapter.targets())

    def _check_targets(self, targets: Any) -> None:
        if self._compile_loss is not None and self._compile_loss.built:
            self._compile_loss.check_targets(targets)

    def _ensure_built(self, data: DataSet | None) -> None:
        """The weights of the layers, and the slots of the optimizer, exist from here on."""
        with deferred_interrupts():
            unbuilt = any(not layer.built for layer in self._flatten_layers())  # type: ignore[attr-defined]
            if unbuilt and data is not None and self._has_forward_pass():
                stand_in = _first_row if self.run_eagerly else _symbolic
                self(tree.map_structure(stand_in, data.data[0]))  # type: ignore[operator]
            if self.compiled and not self.optimizer.built:
                with trainable_as_compiled(self):
                    self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

    def _has_forward_pass(self) -> bool:
        """Whether the model has a `call`; one with a train_step of its own may have none."""
        return type(self).call.__module__ not in ("lamina.models.model", "lamina.layers.layer")  # type: ignore[attr-defined]


def _symbolic(leaf: Leaf | None) -> KerasTensor | None:
    return None if leaf is None else KerasTensor((None, *leaf.array.shape[1:]), leaf.array.dtype.name)


def _first_row(leaf: Leaf | None) -> Any:
    return None if leaf is None else np.asarray(leaf.array[:1])


def _is_due(epoch: int, validation_freq: Any) -> bool:
    if isinstance(validation_freq, int):
        return (epoch + 1) % validation_freq == 0
    return epoch + 1 in validation_freq


_PLAIN_ARRAYS = (np.ndarray, Array)
_EVALUATE = ("x", "y", "batch_size", "verbose", "sample_weight", "steps", "callbacks", "return_dict")
