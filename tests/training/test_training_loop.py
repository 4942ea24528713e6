"""The loop: the same numbers whoever watches, whole steps whatever interrupts, whole states for readers."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from lamina import Sequential, layers, optimizers
from lamina.callbacks import Callback, LambdaCallback
from lamina.core.config import config
from lamina.random import set_random_seed


def make(units=8, dropout=True, optimizer="adam"):
    noise = [layers.Dropout(0.3)] if dropout else []
    model = Sequential([layers.Input((4,)), layers.Dense(units, "tanh"), *noise, layers.Dense(3, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def state_of(model):
    return [np.array(v.array) for v in (*model.variables, *model.optimizer.variables)]


def assert_same_bits(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def trained(x, y, **fit):
    set_random_seed(3)
    model = make()
    history = model.fit(x, y, **{"epochs": 3, "verbose": 0, **fit})
    return state_of(model), history.history


@pytest.mark.parametrize(
    "other",
    [
        {"verbose": 1},
        {"verbose": 2},
        {"callbacks": [LambdaCallback(on_train_batch_end=lambda batch, logs: np.random.random(7))]},
        {"callbacks": [LambdaCallback(on_epoch_end=lambda epoch, logs: time.sleep(0.01))]},
    ],
    ids=["a bar", "lines", "a callback for batches", "a callback for epochs"],
)
def test_training_gives_the_same_bits_whoever_watches(classes, other, capsys):
    weights, history = trained(*classes)
    other_weights, other_history = trained(*classes, **other)
    assert_same_bits(weights, other_weights)
    assert history == other_history


def test_the_seed_decides_the_order_of_rows(classes):
    first, _ = trained(*classes)
    second, _ = trained(*classes)
    assert_same_bits(first, second)
    unshuffled, _ = trained(*classes, shuffle=False)
    assert any((one != other).any() for one, other in zip(first, unshuffled))


def test_validation_does_not_change_training(classes):
    x, y = classes
    weights, _ = trained(x, y)
    with_validation, history = trained(x, y, validation_data=(x, y))
    assert_same_bits(weights, with_validation)
    assert len(history["val_loss"]) == 3


def test_each_row_is_seen_once_in_an_epoch(classes):
    model = Sequential([layers.Input((1,)), layers.Dense(1, kernel_initializer="zeros", use_bias=False)])
    model.compile(optimizers.SGD(0.0), "mse")
    x = np.arange(101, dtype="float32")[:, None]
    for shuffle in (True, False, "batch"):
        history = model.fit(x, x, batch_size=7, epochs=2, shuffle=shuffle, verbose=0)
        np.testing.assert_allclose(history.history["loss"], [(x**2).mean()] * 2, rtol=1e-6)


def test_shuffling_within_batches_keeps_each_batch_together():
    seen = []

    class Watched(Sequential):
        def train_step(self, data):
            seen.append(np.asarray(data[0])[:, 0])
            return super().train_step(data)

    model = Watched([layers.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    x = np.arange(10, dtype="float32")[:, None]
    model.fit(x, x, batch_size=4, shuffle="batch", verbose=0)
    assert [sorted(batch) for batch in seen] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert np.concatenate(seen).tolist() != list(range(10))


def test_steps_per_epoch_goes_on_where_the_last_epoch_stopped():
    model = Sequential([layers.Input((1,)), layers.Dense(1, kernel_initializer="zeros", use_bias=False)])
    model.compile(optimizers.SGD(0.0), "mae")
    x = np.arange(12, dtype="float32")[:, None]
    history = model.fit(x, x, batch_size=3, steps_per_epoch=2, epochs=4, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], [2.5, 8.5, 2.5, 8.5])
    assert model.evaluate(x, x, batch_size=3, steps=2, verbose=0) == pytest.approx(2.5)


def test_hooks_of_batches_come_every_so_many_steps(classes):
    calls = []

    class Watch(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            calls.append(("begin", batch))

        def on_train_batch_end(self, batch, logs=None):
            calls.append(("end", batch, sorted(logs)))

    model = make()
    model.compile("adam", "sparse_categorical_crossentropy", steps_per_execution=2)
    model.fit(*classes, batch_size=32, callbacks=[Watch()], verbose=0)  # 5 batches, the last one smaller
    ends = [("begin", 0), ("end", 1), ("begin", 2), ("end", 3), ("begin", 4), ("end", 4)]
    assert [call[:2] for call in calls] == ends
    assert calls[1][2] == ["loss"]


def test_stop_training_ends_after_the_batch(classes):
    steps = []

    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append(batch)
            self.model.stop_training = batch == 1

    history = make().fit(*classes, epochs=5, callbacks=[Stop()], verbose=0)
    assert steps == [0, 1]
    assert history.epoch == [0]


# --- interruptions ---------------------------------------------------------------------------------


def steps_done(model):
    return int(model.optimizer.iterations.array)


def test_an_interrupt_from_a_callback_leaves_everything_usable(classes):
    model = make()

    def interrupt(epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(*classes, epochs=5, verbose=0, callbacks=[LambdaCallback(on_epoch_begin=interrupt)])
    assert model.history.epoch == [0]
    assert len(model.history.history["loss"]) == 1
    assert steps_done(model) == 5
    model.fit(*classes, verbose=0)
    assert model.predict(classes[0], verbose=0).shape == (150, 3)


@pytest.mark.parametrize("delay", [0.01, 0.1, 0.3])
def test_ctrl_c_ends_training_after_a_whole_step(rng, delay):
    # Each step adds exactly 1 to each weight, so that a step half done would be seen.
    model = Sequential([layers.Input((50,)), layers.Dense(40, kernel_initializer="zeros", use_bias=False)])
    model.compile(
        optimizers.SGD(1.0), lambda y, p: -(p[:, 0] * 0 + p.shape[0] * p.shape[1] * p[:, 0] / p.shape[1])
    )
    x = np.ones((4096, 50), "float32")
    model.fit(x[:64], x[:64, :40], verbose=0)
    done = steps_done(model)
    reached = float(model.weights[0].array[0, 0])
    timer = threading.Timer(delay, lambda: signal.raise_signal(signal.SIGINT))
    handler = signal.getsignal(signal.SIGINT)
    start = time.perf_counter()

    def interrupted_fit():
        timer.start()  # on a busy machine it may ring before this returns
        model.fit(x, x[:, :40], batch_size=32, epochs=100_000, verbose=0)

    with pytest.raises(KeyboardInterrupt):
        interrupted_fit()
    assert time.perf_counter() - start < delay + 2.0
    timer.join()
    assert signal.getsignal(signal.SIGINT) is handler
    column = model.weights[0].array[:, 0]
    assert (column == column[0]).all()
    per_step = reached / done
    np.testing.assert_allclose(column[0], per_step * steps_done(model), rtol=1e-3)
    assert len(model.history.history.get("loss", [])) == len(model.history.epoch)
    model.fit(x[:64], x[:64, :40], verbose=0)


def test_a_state_that_is_not_finite_is_never_applied(rng):
    x = rng.normal(size=(96, 4)).astype("float32")
    y = x[:, 0]
    model = Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    x[70] = 1e25
    before = None

    class Note(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            nonlocal before
            before = state_of(self.model)

    with pytest.raises(ArithmeticError, match="step 3: the loss is infinite") as caught:
        model.fit(x, y, shuffle=False, verbose=0, callbacks=[Note()])
    assert "row 6 of the batch (row 70 of the data)" in str(caught.value)
    assert_same_bits(before, state_of(model))
    assert steps_done(model) == 2


# --- readers ---------------------------------------------------------------------------------------


def test_predictions_during_training_see_whole_states():
    # Two halves of the network stay equal in every whole state, so their difference is 0.
    model = Sequential([layers.Input((8,)), layers.Dense(2, kernel_initializer="zeros")])
    model.compile(optimizers.SGD(0.01), "mse")
    x = np.random.default_rng(0).normal(size=(512, 8)).astype("float32")
    y = np.repeat(x[:, :1], 2, axis=1)
    model.predict(x[:16], verbose=0)
    wrong, count, stop = [], [0], threading.Event()

    def read():
        while not stop.is_set():
            outputs = model.predict(x[:16], verbose=0)
            count[0] += 1
            if not np.array_equal(outputs[:, 0], outputs[:, 1]):
                wrong.append(outputs)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        model.fit(x, y, batch_size=8, epochs=8, verbose=0)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not wrong
    assert count[0] > 3


def test_many_threads_predict_alike(rng):
    model = make()
    x = rng.normal(size=(64, 4)).astype("float32")
    expected = {size: model.predict(x[:size], verbose=0) for size in (1, 3, 17, 64)}
    fresh = pickle.loads(pickle.dumps(model))
    failures = []

    def read(size):
        for _ in range(20):
            if not np.allclose(fresh.predict(x[:size], verbose=0), expected[size], rtol=1e-5):
                failures.append(size)

    threads = [threading.Thread(target=read, args=(size,)) for size in expected for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# --- copies and processes --------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_a_model_train_on_their_own(classes, duplicate):
    model = make(dropout=False)
    model.fit(*classes, epochs=2, shuffle=False, verbose=0)
    twin = duplicate(model)
    assert_same_bits(state_of(model), state_of(twin))
    before = state_of(model)
    twin.fit(*classes, epochs=1, shuffle=False, verbose=0)
    assert_same_bits(before, state_of(model))
    model.fit(*classes, epochs=1, shuffle=False, verbose=0)
    assert_same_bits(state_of(model), state_of(twin))
    assert twin.evaluate(*classes, verbose=0) == model.evaluate(*classes, verbose=0)


def _train_in_child(model, x, y, pipe):
    model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    pipe.send((float(model.history.history["loss"][-1]), model.predict(x[:3], verbose=0)))


FORK = """
import copy, multiprocessing
import numpy as np
from lamina import Sequential, layers

def train_in_child(model, x, y, pipe):
    model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    pipe.send((model.history.history["loss"], model.predict(x[:3], verbose=0)))

x = np.random.default_rng(0).normal(size=(150, 4)).astype("float32")
y = (x[:, 0] > 0).astype("int32")
model = Sequential([layers.Input((4,)), layers.Dense(8, "tanh"), layers.Dense(2, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, verbose=0)
twin = copy.deepcopy(model)
context = multiprocessing.get_context("fork")
here, there = context.Pipe()
with model._programs.lock.writing():  # as if another thread were training when the process forks
    child = context.Process(target=train_in_child, args=(model, x, y, there))
    child.start()
assert here.poll(100), "the child hangs"
losses, outputs = here.recv()
child.join()
assert child.exitcode == 0
twin.fit(x, y, epochs=2, shuffle=False, verbose=0)
assert losses == twin.history.history["loss"]
np.testing.assert_array_equal(outputs, twin.predict(x[:3], verbose=0))
"""

if hasattr(os, "fork"):  # not on Windows

    def test_a_forked_child_can_train(backend):
        # In a process of its own: this one has JAX's threads in it.
        environment = {**os.environ, "LAMINA_BACKEND": backend}
        run = subprocess.run([sys.executable, "-c", FORK], env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr


def test_the_chosen_backend_runs(classes, backend):
    model = make()
    model.fit(*classes, verbose=0)
    assert {report.backend for report in model.compile_report().programs} == {config.backend}
    model.compile("adam", "sparse_categorical_crossentropy", backend="reference")
    model.fit(*classes, verbose=0)
    assert {report.backend for report in model.compile_report().programs} == {"reference"}
    assert "reference" in str(model.compile_report())
    assert "<table>" in model.compile_report()._repr_html_()
