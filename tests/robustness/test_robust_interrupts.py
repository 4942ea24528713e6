"""Ctrl-C at any time: the model is as after some whole step, and goes on being usable."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from robust_models import assert_whole_state, classes, classifier, counting_data, counting_model, steps_seen
from robust_process import environment

from lamina.callbacks import Callback

# The promise is 0.2 seconds; a busy machine may take longer, a chunk that is not cut short much longer.
SOON = 3.0


@pytest.fixture(autouse=True)
def handler():
    """Python's own handler, also where the tests run in the background with signals ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


class Interrupt(Callback):
    """Sends SIGINT from another thread, some time after an epoch of `fit` began."""

    def __init__(self, epoch, delay):
        super().__init__()
        self.epoch, self.delay, self.sent = epoch, delay, None

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.timer = threading.Timer(self.delay, self.send)
            self.timer.start()

    def send(self):
        self.sent = time.perf_counter()
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.05, 0.2])
@pytest.mark.parametrize("validated", [False, True], ids=["", "validated"])
def test_an_interrupt_ends_fit_after_a_whole_step(handler, delay, validated):
    model = counting_model()
    x, y = counting_data()
    interrupt = Interrupt(2, delay)
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            x, y, batch_size=32, epochs=10_000_000, verbose=0, callbacks=[interrupt],
            validation_data=(x, y) if validated else None,
        )  # fmt: skip
    assert time.perf_counter() - interrupt.sent < SOON
    interrupt.timer.join()
    assert signal.getsignal(signal.SIGINT) is handler
    done = assert_whole_state(model)
    history = model.history
    assert history.epoch == list(range(len(history.epoch)))
    assert 2 <= len(history.epoch) <= done // 32
    assert {len(values) for values in history.history.values()} == {len(history.epoch)}
    assert steps_seen(model.predict(x[:5], verbose=0)) == done
    model.fit(x, y, batch_size=32, epochs=2, verbose=0)
    assert assert_whole_state(model) == done + 64


def test_an_interrupt_while_the_first_step_is_compiled_leaves_nothing_half_done():
    model = classifier()
    x, y = classes()

    def interrupted_fit():
        timer = threading.Timer(0.002, lambda: signal.raise_signal(signal.SIGINT))
        try:
            timer.start()  # on a busy machine it may ring before this returns
            model.fit(x, y, epochs=10_000_000, verbose=0)
        finally:
            timer.join()

    with pytest.raises(KeyboardInterrupt):
        interrupted_fit()
    history = model.fit(x, y, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_interrupts_one_after_the_other():
    model = counting_model()
    x, y = counting_data(rows=256)
    for delay in np.linspace(0.0, 0.02, 12):
        with pytest.raises(KeyboardInterrupt):
            model.fit(
                x, y, batch_size=8, epochs=10_000_000, verbose=0, callbacks=[Interrupt(0, float(delay))]
            )
        assert_whole_state(model)


_SCRIPT = """
import signal, sys
# A shell that starts jobs in the background lets them ignore SIGINT; this one must not.
signal.signal(signal.SIGINT, signal.default_int_handler)
from lamina.callbacks import LambdaCallback
from robust_models import assert_whole_state, counting_data, counting_model
model, (x, y) = counting_model(), counting_data()
def tell(epoch, logs):
    if epoch == 0:
        print("epoch 0", flush=True)
callbacks = [LambdaCallback(on_epoch_end=tell)]
try:
    model.fit(x, y, batch_size=32, epochs=10_000_000, verbose=0, callbacks=callbacks)
except KeyboardInterrupt:
    print("steps", assert_whole_state(model), flush=True)
    raise
"""

if sys.platform != "win32":  # signals between processes

    def test_a_signal_from_another_process():
        process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "epoch 0\n", process.stderr.read()
        start = time.perf_counter()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        assert time.perf_counter() - start < SOON
        assert int(output.splitlines()[-1].removeprefix("steps ")) >= 32
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert process.returncode == -signal.SIGINT
