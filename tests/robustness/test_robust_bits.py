"""The same seed gives the same bits, whatever the number of threads and whoever watches."""

import pytest
from robust_models import classes, classifier, state_of

from lamina import Sequential, layers
from lamina.backends.cpu import executable
from lamina.callbacks import LambdaCallback
from lamina.core.config import config
from lamina.utils import set_random_seed


def wide():
    """Large enough that products fall into several tasks."""
    model = Sequential(
        [layers.Input((6,)), layers.Dense(300, "tanh"), layers.Dense(200, "relu"), layers.Dense(3)]
    )
    model.compile("adamw", "mse")
    return model


def trained(make, **fit):
    """(state, history, predictions) after training from a seed."""
    set_random_seed(21)
    x, y = classes(600)
    model = make()
    targets = y if make is classifier else x[:, :3]
    history = model.fit(x, targets, batch_size=50, epochs=2, **{"verbose": 0, **fit})
    return state_of(model), history.history, model.predict(x, verbose=0).tobytes()


@pytest.fixture
def shared(monkeypatch):
    """Every step runs on all threads; returns the list of how many that were."""
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    monkeypatch.setattr(executable.Pace, "choose", lambda self: self.workers)
    used, run = [], executable.CpuExecutable._call_together

    def noted(self, frame, workers):
        used.append(workers)
        return run(self, frame, workers)

    monkeypatch.setattr(executable.CpuExecutable, "_call_together", noted)
    return used


@pytest.mark.parametrize("make", [classifier, wide])
def test_any_number_of_threads(make, shared, monkeypatch):
    results = []
    for count in (1, 2, 3, 8):
        monkeypatch.setitem(vars(config), "num_threads", count)
        shared.clear()
        results.append(trained(make))
        assert set(shared) == ({count} if count > 1 else set())
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    "watching",
    [
        {"verbose": 1},
        {"verbose": 2},
        {"callbacks": [LambdaCallback(on_train_batch_end=lambda batch, logs: None)]},
    ],
    ids=["a bar", "lines", "every batch"],
)
def test_whoever_watches(watching, shared, monkeypatch, capsys):
    monkeypatch.setitem(vars(config), "num_threads", 3)
    assert trained(classifier, **watching) == trained(classifier)
    assert bool(capsys.readouterr().out) == ("verbose" in watching)


def test_another_seed_gives_other_bits():
    first = trained(classifier)
    set_random_seed(22)
    x, y = classes(600)
    model = classifier()
    model.fit(x, y, batch_size=50, epochs=2, verbose=0)
    assert state_of(model) != first[0]
