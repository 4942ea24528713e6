"""Callbacks: when they are called, and what the built-in ones do."""

import functools
import sys

import numpy as np
import pytest

import lamina
from lamina import Sequential, layers, optimizers
from lamina.callbacks import (
    Callback,
    CallbackList,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ProgbarLogger,
    TerminateOnNaN,
)
from lamina.core.config import config
from lamina.core.errors import ArgumentError

HOOKS = [
    name for name in dir(Callback) if name.startswith("on_") and name not in ("on_nonfinite", "on_progress")
]


def stopper(history, patience=0, **options):
    """How many epochs EarlyStopping lets through when the watched numbers are these."""
    model = Sequential([layers.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    numbers = iter(history)
    feed = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_loss=next(numbers)))
    stopping = EarlyStopping(patience=patience, **options)
    x = np.zeros((4, 1), "float32")
    run = model.fit(x, x[:, 0], epochs=len(history), callbacks=[feed, stopping], verbose=0)
    return len(run.epoch), stopping


class Everything(Callback):
    def __init__(self, calls):
        super().__init__()
        for name in HOOKS:
            setattr(self, name, lambda *arguments, name=name, **keywords: calls.append(name))


def call_every_hook(model, callback, x, y):
    """A fit with validation, an evaluate and a predict."""
    model.fit(x, y, batch_size=80, validation_split=0.2, epochs=2, callbacks=[callback], verbose=0)
    model.evaluate(x, y, batch_size=80, callbacks=[callback], verbose=0)
    model.predict(x, batch_size=80, callbacks=[callback], verbose=0)


@functools.cache
def hooks_of_keras(keras):
    calls = []

    class Everything(keras.callbacks.Callback):
        pass

    for name in HOOKS:
        if hasattr(keras.callbacks.Callback, name):
            setattr(Everything, name, lambda self, *arguments, name=name, **keywords: calls.append(name))
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    call_every_hook(model, Everything(), np.zeros((150, 4), "float32"), np.zeros(150, "int32"))
    return calls


def test_hooks_are_called_in_the_order_of_keras(classes, classifier, real_keras):
    calls = []
    call_every_hook(classifier, Everything(calls), *classes)
    assert [name for name in calls if name != "on_exit"] == hooks_of_keras(real_keras)
    assert calls.count("on_exit") == 3


def test_only_hooks_of_batches_bring_training_back_to_python():
    assert not CallbackList([EarlyStopping(), LambdaCallback(on_epoch_end=print)]).wants_batches("train")
    for hook in ("on_train_batch_end", "on_batch_begin"):
        assert CallbackList([LambdaCallback(**{hook: print})]).wants_batches("train")
    assert not CallbackList([LambdaCallback(on_batch_end=print)]).wants_batches("test")
    assert CallbackList([LambdaCallback(on_test_batch_end=print)]).wants_batches("test")
    assert CallbackList([LambdaCallback(on_predict_batch_end=print)]).wants_batches("predict")


def test_logs_that_a_callback_adds_are_in_the_history(classes, classifier):
    add = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(twice=2 * epoch))
    history = classifier.fit(*classes, epochs=3, callbacks=[add], verbose=0)
    assert history.history["twice"] == [0, 2, 4]
    assert classifier.history is history


def test_histories_are_readable(classes, classifier):
    history = classifier.fit(*classes, epochs=3, verbose=0)
    assert repr(history).startswith("<History of 3 epochs; last: ")
    assert "accuracy" in history._repr_html_()
    assert repr(History()) == "<History of 0 epochs>"
    assert history.params["epochs"] == 3


# --- early stopping --------------------------------------------------------------------------------


def test_early_stopping_waits_as_long_as_it_should():
    assert stopper([3, 2, 1, 1, 1, 1], patience=2)[0] == 5
    assert stopper([3, 2, 1, 2, 1, 0], patience=2)[0] == 5
    assert stopper([3, 2, 1, 2, 0, 1], patience=2)[0] == 6
    assert stopper([1, 2, 3, 4], patience=0)[0] == 2
    assert stopper([1, 2, 3, 4], mode="max")[0] == 4
    assert stopper([3, 2.9, 2.8, 2.7], patience=1, min_delta=0.5)[0] == 2
    assert stopper([9, 9, 9, 1, 2, 3], start_from_epoch=3)[0] == 5
    assert stopper([5, 4, 4.5, 4.4], baseline=1, patience=2)[0] == 3


NUMBERS = (3.0, 2.5, 2.6, 2.4, 2.45, 2.41, 2.42, 1.0)


@functools.cache
def epochs_of_keras(keras, options):
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    values = iter(NUMBERS)
    feed = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_loss=next(values)))
    x = np.zeros((4, 1), "float32")
    callbacks = [feed, keras.callbacks.EarlyStopping(**dict(options))]
    return len(model.fit(x, x, epochs=len(NUMBERS), callbacks=callbacks, verbose=0).epoch)


@pytest.mark.parametrize(
    "options",
    [{"patience": 2}, {"patience": 1}, {"patience": 3, "min_delta": 0.2}, {"patience": 2, "baseline": 2.4}],
    ids=str,
)
def test_early_stopping_is_as_in_keras(options, real_keras):
    assert stopper(NUMBERS, **options)[0] == epochs_of_keras(real_keras, tuple(options.items()))


def test_early_stopping_brings_back_the_best_weights(classes, classifier, capsys):
    seen = []
    note = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(classifier.get_weights()))
    losses = iter([3.0, 1.0, 2.0, 2.0])
    feed = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_loss=next(losses)))
    stopping = EarlyStopping(patience=2, restore_best_weights=True, verbose=1)
    classifier.fit(*classes, epochs=10, callbacks=[feed, note, stopping], verbose=0)
    assert stopping.best_epoch == 1
    for restored, best, last in zip(classifier.get_weights(), seen[1], seen[-1]):
        np.testing.assert_array_equal(restored, best)
        assert (best != last).any()
    printed = capsys.readouterr().out
    assert "Epoch 4: early stopping" in printed
    assert "best epoch: 2" in printed


def test_early_stopping_knows_which_way_metrics_are_better(classes, classifier):
    stopping = EarlyStopping("accuracy", patience=50)
    classifier.fit(*classes, epochs=2, callbacks=[stopping], verbose=0)
    assert stopping.best == max(classifier.history.history["accuracy"])


def test_early_stopping_warns_once_about_a_number_that_is_not_there(classes, classifier):
    with pytest.warns(UserWarning, match="Did you mean 'accuracy'") as caught:
        classifier.fit(*classes, epochs=3, callbacks=[EarlyStopping("acuracy")], verbose=0)
    assert len(caught) == 1


# --- the others ------------------------------------------------------------------------------------


def test_the_learning_rate_follows_its_schedule(classes):
    model = Sequential([layers.Input((4,)), layers.Dense(3, "softmax")])
    model.compile(optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    schedule = LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = model.fit(*classes, epochs=3, callbacks=[schedule], verbose=0)
    np.testing.assert_allclose(history.history["learning_rate"], [0.05, 0.025, 0.0125], rtol=1e-6)
    by_epoch = LearningRateScheduler(lambda epoch: 0.5 + epoch)
    model.fit(*classes, epochs=2, callbacks=[by_epoch], verbose=0)
    assert float(model.optimizer.learning_rate) == 1.5


def test_training_may_end_quietly_at_a_nan(rng, capsys):
    x = rng.normal(size=(64, 4)).astype("float32") * 1e3
    model = Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile(optimizers.SGD(1e4), "mse")
    history = model.fit(x, x[:, 0], epochs=20, callbacks=[TerminateOnNaN()], verbose=0)
    assert len(history.epoch) < 20
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert "not applied" in capsys.readouterr().out
    with pytest.raises(ArithmeticError, match="not applied"):
        model.fit(x, x[:, 0], epochs=20, callbacks=[TerminateOnNaN(raise_error=True)], verbose=0)


def test_callbacks_of_keras_style_need_no_base_class(classes, classifier):
    class Plain:
        def __init__(self):
            self.calls = []

        def __getattr__(self, name):
            if name in HOOKS or name in ("set_model", "set_params"):
                return lambda *arguments, **keywords: self.calls.append(name)
            raise AttributeError(name)

    plain = Plain()
    classifier.fit(*classes, callbacks=plain, verbose=0)
    assert plain.calls[:3] == ["set_model", "set_params", "on_train_begin"]


def test_an_unknown_mode_is_refused():
    with pytest.raises(ArgumentError, match="'maximum'"):
        EarlyStopping(mode="maximum")


# --- progress --------------------------------------------------------------------------------------


class Terminal:
    """A stream that says it is a terminal, and keeps what is written."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_in_a_file_there_is_one_line_per_epoch(classes, classifier, capsys):
    classifier.fit(*classes, epochs=2, validation_split=0.2, verbose="auto")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Epoch 1/2 - 4/4 - ")
    for name in ("loss: 1.", "accuracy: 0.", "val_loss: ", "val_accuracy: "):
        assert name in lines[1]
    classifier.evaluate(*classes)
    assert capsys.readouterr().out.startswith("5/5 - ")
    classifier.predict(classes[0])
    assert capsys.readouterr().out == ""
    classifier.predict(classes[0], verbose=1)
    assert capsys.readouterr().out.startswith("1/1 - ")


def test_in_a_terminal_the_line_moves(classes, classifier, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    slow = LambdaCallback(on_train_batch_end=lambda batch, logs: __import__("time").sleep(0.12))
    classifier.fit(*classes, epochs=1, verbose=1, callbacks=[slow])
    assert terminal.text.count("\r") >= 4
    assert "━" in terminal.text
    assert terminal.text.endswith("\n")
    assert "5/5" in terminal.text.rsplit("\r", 1)[1]


def test_the_line_is_left_after_an_interruption(classes, classifier, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)

    def interrupt(batch, logs):
        if batch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classifier.fit(*classes, verbose=1, callbacks=[LambdaCallback(on_train_batch_end=interrupt)])
    assert terminal.text.endswith("\n")


def test_a_stream_without_unicode_gets_ascii(classes, classifier, monkeypatch):
    class Narrow(Terminal):
        def write(self, text):
            text.encode("ascii")
            super().write(text)

    terminal = Narrow()
    monkeypatch.setattr(sys, "stdout", terminal)
    classifier.fit(*classes, verbose=1)
    assert "====" in terminal.text


def test_logging_without_interaction_writes_plain_lines(classes, classifier, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(config, "interactive_logging", False)
    classifier.fit(*classes, epochs=2, verbose=1)
    assert "\r" not in terminal.text
    assert terminal.text.count("\n") == 2


def test_public_names():
    assert lamina.callbacks.EarlyStopping is EarlyStopping
    assert isinstance(ProgbarLogger(), Callback)
