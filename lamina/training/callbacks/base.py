"""What a callback is, and the list of callbacks that `fit`, `evaluate` and `predict` talk to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lamina.core import tree
from lamina.core.errors import ArgumentError, NonFiniteError

if TYPE_CHECKING:
    from lamina.training.callbacks.history import History
    from lamina.training.run import Run


class Callback:
    """Base class of callbacks: override the hooks you need.

    `self.model` is the model, `self.params` a dict with "verbose", "epochs" and "steps". Epochs and batches
    count from 0. `logs` maps names ("loss", "val_accuracy") to numbers; what a hook of the end of an epoch
    adds to it, later callbacks and the history see. `self.model.stop_training = True` ends training.

    Batches run in native code, many at a time. Only when a callback overrides a batch hook does training come
    back to Python between them, every `steps_per_execution` batches; so prefer the hooks of epochs.

    >>> class Announce(lamina.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, logs["loss"])
    """

    # Beyond Keras: acts after all other callbacks, wherever it stands among them.
    acts_last = False

    # Beyond Keras: attributes that BackupAndRestore keeps, so that a resumed training goes on alike. They are
    # what JSON can hold, or lists of arrays.
    resumed: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def set_model(self, model: Any) -> None:
        self._model = model

    @property
    def model(self) -> Any:
        return self._model

    # --- epochs ------------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """An epoch of training starts."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """It is over, and so is its validation."""

    # --- batches -----------------------------------------------------------------------------------

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A batch is about to be trained on."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """It was trained on; metrics in `logs` are over the epoch so far."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A batch is about to be evaluated, in `evaluate` or in the validation of `fit`."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """It was evaluated."""

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A batch is about to be predicted."""

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """It was predicted; `logs["outputs"]` has the outputs."""

    # --- runs --------------------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        """`fit` starts."""

    def on_train_end(self, logs: Any = None) -> None:
        """`fit` has come to its end; not called after an exception or Ctrl-C."""

    def on_test_begin(self, logs: Any = None) -> None:
        """`evaluate`, or a validation, starts."""

    def on_test_end(self, logs: Any = None) -> None:
        """It is over."""

    def on_predict_begin(self, logs: Any = None) -> None:
        """`predict` starts."""

    def on_predict_end(self, logs: Any = None) -> None:
        """It is over."""

    # --- beyond Keras ------------------------------------------------------------------------------

    def wants_batches(self, kind: str) -> bool:
        """Whether the hooks of batches of this kind ("train", "test" or "predict") must be called."""
        return any(_overrides(self, hook) for hook in _BATCH_HOOKS[kind])

    def set_run(self, run: Run) -> None:
        """`fit` starts, or resumes, this run."""

    def on_progress(self, steps: int, logs: Any = None) -> None:
        """Now and then while batches run: so many of this epoch are done. Costs training nothing."""

    def on_nonfinite(self, error: NonFiniteError) -> bool:
        """A step gave a loss or gradient that is not finite, and was not applied.

        Return True to end training quietly; unless some callback does, `error` is raised.
        """
        return False

    def on_exit(self) -> None:
        """The very last call, also after an exception or Ctrl-C: give back files and the terminal."""


_BATCH_HOOKS = {
    "train": ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}


def _spread(hook: str) -> Callable[..., None]:
    """A method of CallbackList that calls this hook of each callback."""

    # Callbacks share one dict, so that later ones see what earlier ones add.

    def of_run(self: CallbackList, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        for callback in self.callbacks:
            getattr(callback, hook)(logs)

    def of_epoch(self: CallbackList, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        for callback in self.callbacks:
            getattr(callback, hook)(epoch, logs)

    def of_batch(self: CallbackList, batch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        for callback in self.callbacks:
            getattr(callback, hook)(batch, logs=logs)

    call = of_epoch if "epoch" in hook else of_batch if "batch" in hook else of_run
    call.__name__ = hook
    call.__doc__ = getattr(Callback, hook).__doc__
    return call


class CallbackList:
    """Several callbacks as one.

    add_history, add_progbar: append a History and a ProgbarLogger unless there is one. params: what the
    callbacks see as `params`.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        self.callbacks: list[Any] = tree.flatten(callbacks) if callbacks else []
        self.callbacks.sort(key=lambda callback: bool(getattr(callback, "acts_last", False)))
        for callback in self.callbacks:
            if isinstance(callback, type) or not callable(getattr(callback, "set_model", None)):
                name = getattr(callback, "__name__", repr(callback))
                raise ArgumentError(
                    f"{name} is no callback.",
                    expected="objects of classes derived from lamina.callbacks.Callback",
                    fix=f"{name}()" if isinstance(callback, type) else "wrap functions in a LambdaCallback.",
                )
        self.params: dict[str, Any] = {}
        self._model: Any = None
        if add_history:
            self.add_history()
        if add_progbar:
            self._add_progbar()
        self.set_model(model)
        self.set_params(params)

    def add_history(self) -> History:
        """The History among the callbacks, or a new one behind them all."""
        from lamina.training.callbacks.history import History

        found = next((entry for entry in self.callbacks if isinstance(entry, History)), None)
        if found is None:
            found = History()
            found.set_model(self._model)
            found.set_params(self.params)
            self.callbacks.append(found)
        return found

    def _add_progbar(self) -> None:
        from lamina.training.callbacks.progress import ProgbarLogger

        if not any(isinstance(entry, ProgbarLogger) for entry in self.callbacks):
            self.callbacks.append(ProgbarLogger())

    @property
    def model(self) -> Any:
        return self._model

    def set_model(self, model: Any) -> None:
        if model is None:
            return
        self._model = model
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def wants_batches(self, kind: str) -> bool:
        """Whether a callback overrides a hook of batches of this kind: "train", "test" or "predict"."""
        return any(
            callback.wants_batches(kind)
            if hasattr(callback, "wants_batches")
            else any(_overrides(callback, hook) for hook in _BATCH_HOOKS[kind])
            for callback in self.callbacks
        )

    def wants_progress(self) -> bool:
        """Whether a callback overrides `on_progress`."""
        return any(_overrides(callback, "on_progress") for callback in self.callbacks)

    on_train_begin = _spread("on_train_begin")
    on_train_end = _spread("on_train_end")
    on_test_begin = _spread("on_test_begin")
    on_test_end = _spread("on_test_end")
    on_predict_begin = _spread("on_predict_begin")
    on_predict_end = _spread("on_predict_end")
    on_epoch_begin = _spread("on_epoch_begin")
    on_epoch_end = _spread("on_epoch_end")
    on_batch_begin = _spread("on_batch_begin")
    on_batch_end = _spread("on_batch_end")
    on_train_batch_begin = _spread("on_train_batch_begin")
    on_train_batch_end = _spread("on_train_batch_end")
    on_test_batch_begin = _spread("on_test_batch_begin")
    on_test_batch_end = _spread("on_test_batch_end")
    on_predict_batch_begin = _spread("on_predict_batch_begin")
    on_predict_batch_end = _spread("on_predict_batch_end")

    def on_nonfinite(self, error: NonFiniteError) -> bool:
        answers = [callback.on_nonfinite(error) for callback in self._with("on_nonfinite")]
        return any(answers)

    def on_progress(self, steps: int, logs: Any = None) -> None:
        for callback in self._with("on_progress"):
            callback.on_progress(steps, logs)

    def set_run(self, run: Run) -> None:
        for callback in self._with("set_run"):
            callback.set_run(run)

    def on_exit(self) -> None:
        for callback in self._with("on_exit"):
            callback.on_exit()

    def _with(self, hook: str) -> list[Any]:
        # Callbacks written for Keras, without our base class, lack the hooks beyond Keras.
        return [callback for callback in self.callbacks if hasattr(callback, hook)]


def _overrides(callback: Any, hook: str) -> bool:
    method = getattr(callback, hook, None)
    return method is not None and getattr(method, "__func__", method) is not getattr(Callback, hook)
