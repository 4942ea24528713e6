"""Ctrl-C at every kind of instant: the signal is sent when the n-th Python function is entered, for many n.

Python handles signals when a function is entered (and in loops), so this sweeps over the places where
KeyboardInterrupt can come up.
"""

import gc
import inspect
import signal
import sys
import threading
import weakref

import numpy as np
import pytest
from robust_models import assert_whole_state, counting_data, counting_model, steps_seen

import lamina
from lamina import layers, ops
from lamina.backends.cpu import executable
from lamina.core.config import config
from lamina.ir import graph
from lamina.layers import call_context


class InterruptAt:
    """A profile function that sends SIGINT when the `count`-th function (of these names) is entered."""

    def __init__(self, count, names=()):
        self.left = count
        self.names = names
        self.where = None

    def __call__(self, frame, event, argument):
        # What is raised while a generator is closed, or by the callback of a weak reference, Python drops.
        code = frame.f_code
        dropped = code.co_flags & inspect.CO_GENERATOR or code.co_filename == weakref.__file__
        if event != "call" or dropped or code is graph._forget.__code__:
            return
        if self.names and code.co_name not in self.names:
            return
        self.left -= 1
        if self.left == 0:
            self.where = frame.f_code.co_name
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)


def interrupted(action, count, names=()):
    """Run `action` with a signal at that instant; (whether KeyboardInterrupt came out, the InterruptAt)."""
    probe = InterruptAt(count, names)
    # Python drops what is raised in these, too; other tests leave some behind.
    callbacks, gc.callbacks[:] = gc.callbacks[:], []
    sys.setprofile(probe)
    try:
        action()
    except KeyboardInterrupt:
        return True, probe
    finally:
        sys.setprofile(None)
        gc.callbacks[:] = callbacks
    return False, probe


def instants(action, samples, names=()):
    """That many instants, spread evenly over `action`."""
    most = 10**9
    _, probe = interrupted(action, most, names)
    calls = most - probe.left
    return range(1, calls, max(1, calls // samples))


def assert_usable(model, x, y, where):
    """Another thread can train the model and predict with it, and sees a whole state."""
    before = assert_whole_state(model)
    seen = []

    def use():
        model.fit(x, y, batch_size=16, verbose=0)
        seen.append(steps_seen(model.predict(x[:5], verbose=0)))

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(120)  # however busy the machine is
    assert seen == [before + len(x) // 16], f"after an interrupt in {where}()"


@pytest.fixture(autouse=True)
def handler():
    """Python's own handler, also where the tests run in the background with signals ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def trained(monkeypatch):
    """(model, x, y): every step and prediction is shared between two threads, although small."""
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    monkeypatch.setattr(executable.Pace, "choose", lambda self: self.workers)
    monkeypatch.setitem(vars(config), "num_threads", 2)
    model, (x, y) = counting_model(heads=2), counting_data(rows=64, heads=2)
    model.fit(x, y, batch_size=16, verbose=0, validation_split=0.5)
    model.predict(x, verbose=0)
    return model, x, y


ACTIONS = {
    "fit": lambda model, x, y: model.fit(x, y, batch_size=16, epochs=2, verbose=0),
    "fit with a bar": lambda model, x, y: model.fit(x, y, batch_size=16, verbose=1, validation_split=0.5),
    "train_on_batch": lambda model, x, y: model.train_on_batch(x, y),
    "evaluate": lambda model, x, y: model.evaluate(x, y, verbose=0),
    "predict": lambda model, x, y: (model.predict(x, verbose=0), model.predict(x[:7], 3, verbose=0)),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_the_model_stays_usable(name, trained, handler, capsys):
    model, x, y = trained

    def action():
        ACTIONS[name](model, x, y)

    action()
    for count in instants(action, samples=80):
        came, probe = interrupted(action, count)
        assert came or probe.where is None, f"the interrupt in {probe.where}() was lost"
        assert signal.getsignal(signal.SIGINT) is handler
        history = model.history
        assert history.epoch == list(range(len(history.epoch)))
        assert {len(values) for values in history.history.values()} <= {len(history.epoch)}
        assert_usable(model, x, y, probe.where)


def test_a_new_model_stays_usable(handler):
    x, y = counting_data(rows=32, heads=2)

    def first_fit():
        model = counting_model(heads=2)
        models.append(model)
        model.fit(x, y, batch_size=16, verbose=0)

    models = []
    first_fit()
    for count in instants(first_fit, samples=60):
        models.clear()
        interrupted(first_fit, count)
        assert signal.getsignal(signal.SIGINT) is handler
        if models and models[0].compiled:
            model = models[0]
            model.fit(x, y, batch_size=16, verbose=0)
            assert_usable(model, x, y, "the first fit")


class Halves(layers.Layer):
    """Two layers inside, and everything that is traced on the way to their shapes."""

    def __init__(self):
        super().__init__(name="halves", dtype="mixed_float16")
        self.inner = [layers.Dense(2, name="left"), layers.Dense(2, name="right")]

    def call(self, inputs):
        return ops.concatenate([layer(inputs) for layer in self.inner], axis=-1)


def test_no_block_stays_open(handler):
    """Ctrl-C wherever a block is entered or left, while layers are built, called, and traced."""

    def action():
        halves = Halves()
        layers.Dense(1)(halves(layers.Input((3,))))
        halves(np.ones((2, 3), "float32"))
        lamina.function(lambda x: halves(x))(np.ones((1, 3), "float32"))

    action()
    names = ("__enter__", "__exit__")
    for count in instants(action, 1000, names):
        came, probe = interrupted(action, count, names)
        assert came or probe.where is None
        variable = lamina.Variable(1.0, name="alone")
        assert variable.path == "alone"
        assert isinstance(variable.value, np.ndarray), "a trace is open"
        assert variable.value.dtype == "float32"
        assert call_context.current() is None
