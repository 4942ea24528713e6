"""Progbar, and the limits of keras.config."""

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina.core.config import config
from lamina.core.errors import ArgumentError
from lamina.utils import Progbar


class Terminal:
    """An output that says it is a terminal, and keeps what is written."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_one_line_at_the_end_where_nothing_can_move(capsys):
    progress = Progbar(3, stateful_metrics=["rate"])
    for step in range(3):
        progress.update(step + 1, [("loss", 3.0 - step), ("rate", step)], finalize=False)
    assert capsys.readouterr().out == ""
    progress.update(3, finalize=True)
    said = capsys.readouterr().out
    assert said.startswith("3/3 - ")
    assert said.endswith("/step - loss: 2.0000 - rate: 2.0000\n")


def test_the_bar_moves_in_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    progress = Progbar(4, width=8, interval=0.0, unit_name="sample")
    progress.add(1, [("loss", 2.0)])
    progress.add(3, [("loss", 1.0)])
    first, last = terminal.text.split("\r")[1:]
    assert first.startswith("━━╌╌╌╌╌╌ 1/4 - ")
    assert "/sample - loss: 2.0000" in first
    assert last.startswith("━━━━━━━━ 4/4")
    assert last.rstrip(" ").endswith("loss: 1.0000\n") or last.endswith("\n")


@pytest.mark.parametrize("verbose", [0, 2])
def test_the_other_verbosities(verbose, capsys):
    progress = Progbar(None, verbose=verbose, stateless_metrics=["loss"])
    progress.update(5, [("loss", 1.0)])
    progress.update(6, [("loss", 7.0), ("seen", 1)], finalize=False)
    assert capsys.readouterr().out == ""
    progress.update(6, finalize=True)
    said = capsys.readouterr().out
    assert said == "" if verbose == 0 else said.endswith("loss: 2.0000 - seen: 1.0000\n")


def test_both_kinds_of_metrics_are_too_many():
    with pytest.raises(ArgumentError, match="not both"):
        Progbar(3, stateful_metrics=["a"], stateless_metrics=["b"])


@pytest.fixture
def limits():
    yield
    config.max_epochs = config.max_steps_per_epoch = None


def test_limits_of_every_training(limits):
    model = lamina.Sequential([layers.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.zeros((40, 1), "float32")
    lamina.config.set_max_epochs(2)
    lamina.config.set_max_steps_per_epoch(3)
    assert (lamina.config.max_epochs(), lamina.config.max_steps_per_epoch()) == (2, 3)
    with pytest.warns(UserWarning, match="Limiting epochs to 2"):
        history = model.fit(x, x, epochs=5, batch_size=4, verbose=0)
    assert history.epoch == [0, 1]
    assert int(model.optimizer.iterations) == 6
    with pytest.raises(ValueError, match="max_epochs must be a positive whole number"):
        lamina.config.set_max_epochs(0)
