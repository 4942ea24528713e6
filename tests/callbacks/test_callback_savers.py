"""Callbacks that save, log, send, and change the learning rate; beside those of Keras where it has a say."""

import csv
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import numpy as np
import pytest

import lamina
from lamina import optimizers
from lamina.callbacks import CSVLogger, LambdaCallback, ModelCheckpoint, RemoteMonitor, SwapEMAWeights
from lamina.core.errors import ArgumentError, StateError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def small_model(package=lamina, optimizer="sgd"):
    model = package.Sequential([package.layers.Input((1,)), package.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


def fit_with(model, numbers, *callbacks, package=lamina, name="val_loss"):
    """A training whose logs have these numbers, one an epoch; returns what the callbacks saw."""
    feed = iter(numbers)
    seen = []
    before = package.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update({name: next(feed)})
    )
    after = package.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    x = np.zeros((4, 1), "float32")
    model.fit(x, x, epochs=len(numbers), callbacks=[before, *callbacks, after], verbose=0)
    return seen


# --- the learning rate -------------------------------------------------------------------------------

FALLING = [5.0, 4.0, 4.0, 4.0, 3.99, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0, 2.5, 2.5, 2.5, 2.5]


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 1, "cooldown": 2, "factor": 0.5},
        {"patience": 0, "min_delta": 0.05, "min_lr": 0.001},
        {"patience": 2, "mode": "max", "monitor": "val_score"},
    ],
)
def test_plateaus_are_those_of_keras(options, real_keras):
    name = options.get("monitor", "val_loss")
    rates = []
    for package in (lamina, real_keras):
        model = small_model(package, package.optimizers.SGD(0.5))
        callback = package.callbacks.ReduceLROnPlateau(**options)
        logs = fit_with(model, FALLING, callback, package=package, name=name)
        rates.append([entry["learning_rate"] for entry in logs])
    assert rates[0] == pytest.approx(rates[1])
    assert len(set(rates[0])) > 2


def test_plateaus_speak_and_reduce_several(capsys):
    several = optimizers.MultiOptimizer(
        optimizers.OptimizerMap(optimizers.SGD(0.5, name="a"), {".*bias": optimizers.SGD(0.25, name="b")})
    )
    logs = fit_with(
        small_model(optimizer=several),
        [1.0, 1.0, 1.0],
        lamina.callbacks.ReduceLROnPlateau(patience=2, factor=0.5, verbose=1, min_lr=0.2),
    )
    assert logs[-1]["learning_rate_a"] == 0.5
    assert [float(each.learning_rate) for each in several.optimizers] == pytest.approx([0.2, 0.25])
    said = capsys.readouterr().out
    assert "Epoch 3: ReduceLROnPlateau reducing a learning rate to 0.25." in said


def test_plateaus_refuse():
    with pytest.raises(ArgumentError, match="must be below 1, got 1"):
        lamina.callbacks.ReduceLROnPlateau(factor=1)
    with pytest.raises(ArgumentError, match="has no argument 'epsilon'"):
        lamina.callbacks.ReduceLROnPlateau(epsilon=1)
    schedule = optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    with pytest.raises(StateError, match="follows a schedule"):
        fit_with(
            small_model(optimizer=optimizers.SGD(schedule)),
            [1.0, 1.0],
            lamina.callbacks.ReduceLROnPlateau(patience=1),
        )


# --- records -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"separator": ";"}, {"append": True}])
def test_the_csv_file_is_that_of_keras(options, tmp_path, real_keras):
    texts = []
    for package in (lamina, real_keras):
        path = tmp_path / f"{package.__name__}.csv"
        logger = package.callbacks.CSVLogger(path, **options)
        numbers = [{"loss": 0.5, "a": 1.0}, {"loss": 0.25, "a": 2.0, "val_loss": 3.0}]
        for _ in range(2):
            logger.on_train_begin()
            for epoch, logs in enumerate(numbers):
                logger.on_epoch_end(epoch, logs)
            logger.on_train_end()
        texts.append(path.read_text().replace("\r\n", "\n").replace("\n\n", "\n"))
    assert texts[0] == texts[1]


def test_the_csv_file_is_closed_after_an_error(tmp_path, classifier, classes):
    logger = CSVLogger(tmp_path / "log.csv")

    def fail(epoch, logs):
        if epoch == 1:
            raise KeyError("wrong")

    with pytest.raises(KeyError):
        classifier.fit(*classes, epochs=3, callbacks=[LambdaCallback(on_epoch_end=fail), logger], verbose=0)
    assert logger.csv_file is None
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0"]
    assert float(rows[0]["accuracy"]) == classifier.history.history["accuracy"][0]
    assert rows[0]["val_loss"] == "NA"


def test_numbers_with_axes_fit_into_a_cell(tmp_path):
    logger = CSVLogger(tmp_path / "log.csv")
    logger.on_train_begin()
    logger.on_epoch_end(0, {"scores": np.array([1.0, 2.0]), "val_scores": [1, 2]})
    logger.on_exit()
    with open(tmp_path / "log.csv", newline="") as file:
        assert list(csv.reader(file))[1] == ["0", "[1.0, 2.0]", "[1, 2]"]


@pytest.fixture
def server():
    """A server that notes what it is sent; yields (its address, the requests)."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append((self.path, self.headers["Content-Type"], self.headers.get("X-Key"), body))
            self.send_response(500 if "broken" in self.path else 200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}", received
    listening.shutdown()
    listening.server_close()
    thread.join()


def test_epochs_are_sent_to_the_monitor(server):
    address, received = server
    monitors = [
        RemoteMonitor(address, headers={"X-Key": "k"}),
        RemoteMonitor(address, path="/json", send_as_json=True),
    ]
    for monitor in monitors:
        monitor.on_epoch_end(3, {"loss": np.float32(0.5), "scores": np.array([1, 2])})
    expected = {"epoch": 3, "loss": 0.5, "scores": [1, 2]}
    (path, kind, key, body), (second_path, second_kind, _, second) = received
    assert (path, kind, key) == ("/publish/epoch/end/", "application/x-www-form-urlencoded", "k")
    assert json.loads(parse_qs(body)["data"][0]) == expected
    assert (second_path, second_kind) == ("/json", "application/json")
    assert json.loads(second) == expected
    with pytest.warns(UserWarning, match="answered HTTP Error 500"):
        RemoteMonitor(address, path="/broken").on_epoch_end(0, {})


def test_a_monitor_out_of_reach_is_a_warning():
    with pytest.warns(UserWarning, match="RemoteMonitor could not reach http://127.0.0.1:1"):
        RemoteMonitor("http://127.0.0.1:1").on_epoch_end(0, {"loss": 1.0})


# --- averages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_epoch", [False, True])
def test_the_averages_are_there_for_evaluation(on_epoch, real_keras):
    x = np.linspace(-1, 1, 16, dtype="float32")[:, None]
    results = []
    for package in (lamina, real_keras):
        model = small_model(package, package.optimizers.SGD(0.3, use_ema=True, ema_momentum=0.9))
        model.set_weights([np.full((1, 1), 3.0), np.ones(1)])
        seen = []
        history = model.fit(
            x,
            2 * x,
            epochs=3,
            batch_size=4,
            shuffle=False,
            validation_data=(x, 2 * x),
            verbose=0,
            callbacks=[
                package.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch),
                package.callbacks.LambdaCallback(
                    on_epoch_end=lambda epoch, logs, model=model, seen=seen: seen.append(model.get_weights()),
                    on_epoch_begin=lambda epoch, logs, model=model, seen=seen: seen.append(
                        model.get_weights()
                    ),
                ),
            ],
        )
        seen.append(model.get_weights())
        results.append((history.history, seen))
    for name, values in results[0][0].items():
        np.testing.assert_allclose(values, results[1][0][name], rtol=1e-5)
    for ours, theirs in zip(results[0][1], results[1][1], strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)


def test_the_averages_go_away_again():
    x = np.linspace(-1, 1, 16, dtype="float32")[:, None]
    model = small_model(optimizer=optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9))
    model.train_on_batch(x, 2 * x)
    model.train_on_batch(x, 2 * x)
    weights = model.get_weights()
    model.evaluate(x, 2 * x, callbacks=[SwapEMAWeights()], verbose=0)
    averaged = model.predict(x, callbacks=[SwapEMAWeights()], verbose=0)
    for weight, old in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, old)
    assert not np.array_equal(averaged, model.predict(x, verbose=0))

    def fail(batch, logs):
        raise KeyError

    with pytest.raises(KeyError):
        model.evaluate(x, 2 * x, callbacks=[SwapEMAWeights(), LambdaCallback(on_test_batch_end=fail)])
    for weight, old in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, old)
    with pytest.raises(StateError, match=r"keeps no averages[\s\S]*use_ema=True"):
        small_model().fit(x, x, callbacks=[SwapEMAWeights()], verbose=0)


# --- checkpoints -----------------------------------------------------------------------------------------


class Saving:
    """Stands in for the saving of a model: notes the names of the files."""

    def __init__(self, model, monkeypatch):
        self.paths = []
        for name in ("save", "save_weights"):
            monkeypatch.setattr(type(model), name, self._note, raising=False)

    def _note(self, path, overwrite):
        assert overwrite
        self.paths.append(str(path))


NUMBERS = [3.0, 4.0, 2.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"save_best_only": True}, [1, 3, 5]),
        ({"save_best_only": True, "mode": "max"}, [1, 2]),
        ({"save_best_only": True, "initial_value_threshold": 2.5}, [3, 5]),
        ({"save_weights_only": True}, [1, 2, 3, 4, 5]),
    ],
)
def test_which_epochs_are_saved(options, expected, monkeypatch, tmp_path, real_keras):
    ending = "weights.h5" if options.get("save_weights_only") else "keras"
    path = str(tmp_path / ("{epoch:02d}-{val_loss:.1f}." + ending))
    found = []
    for package in (lamina, real_keras):
        model = small_model(package)
        saving = Saving(model, monkeypatch)
        checkpoint = package.callbacks.ModelCheckpoint(path, **options)
        fit_with(model, NUMBERS, checkpoint, package=package)
        found.append(saving.paths)
    assert found[0] == found[1]
    assert found[0] == [str(tmp_path / f"{epoch:02d}-{NUMBERS[epoch - 1]}.{ending}") for epoch in expected]


def test_batches_are_saved_as_in_keras(monkeypatch, real_keras):
    x = np.zeros((70, 1), "float32")
    found = []
    for package in (lamina, real_keras):
        model = small_model(package)
        saving = Saving(model, monkeypatch)
        checkpoint = package.callbacks.ModelCheckpoint("{epoch}-{batch}.keras", save_freq=3)
        model.fit(x, x, epochs=2, batch_size=10, callbacks=[checkpoint], verbose=0)
        found.append(saving.paths)
    assert found[0] == found[1] == ["1-3.keras", "1-6.keras", "2-2.keras", "2-5.keras"]


def test_only_batches_that_are_saved_interrupt_the_loop():
    assert not ModelCheckpoint("a.keras").wants_batches("train")
    assert ModelCheckpoint("a.keras", save_freq=5).wants_batches("train")
    assert not ModelCheckpoint("a.keras", save_freq=5).wants_batches("test")


def test_a_checkpoint_is_the_model(tmp_path, classifier, classes, capsys):
    x, y = classes
    path = tmp_path / "new" / "{epoch}.keras"
    checkpoint = ModelCheckpoint(path, "loss", save_best_only=True, verbose=1)
    weights = ModelCheckpoint(tmp_path / "w.weights.h5", save_weights_only=True)
    classifier.fit(x, y, epochs=2, callbacks=[checkpoint, weights], verbose=0)
    loaded = lamina.models.load_model(tmp_path / "new" / "2.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), classifier.predict(x, verbose=0))
    assert loaded.evaluate(x, y, verbose=0) == classifier.evaluate(x, y, verbose=0)
    said = capsys.readouterr().out
    assert "Epoch 1: loss improved from None to" in said
    assert "saving model to" in said
    other = lamina.models.clone_model(classifier)
    other.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(other.predict(x, verbose=0), classifier.predict(x, verbose=0))
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(ArgumentError, match="it is a folder"):
        classifier.fit(x, y, callbacks=[ModelCheckpoint(tmp_path / "folder.keras")], verbose=0)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ModelCheckpoint("a.h6"), r"must end in .keras"),
        (lambda: ModelCheckpoint("a.weights.h6"), r"must end in .keras"),
        (lambda: ModelCheckpoint("a.keras", save_weights_only=True), r"must end in .weights.h5"),
        (lambda: ModelCheckpoint("a.keras", save_freq="batch"), "'epoch' or a number of batches"),
        (lambda: ModelCheckpoint("a.keras", mode="best"), "mode must be"),
        (
            lambda: fit_with(small_model(), [1.0], ModelCheckpoint("{val_los:.2f}.keras")),
            r"names 'val_los'[\s\S]*did you mean 'val_loss'",
        ),
    ],
)
def test_checkpoints_refuse(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


def test_a_missing_monitor_saves_with_a_warning(monkeypatch):
    model = small_model()
    saving = Saving(model, monkeypatch)
    with pytest.warns(UserWarning, match="watches 'val_auc', which this epoch does not have"):
        fit_with(model, [1.0], ModelCheckpoint("a.keras", "val_auc", save_best_only=True, mode="max"))
    assert saving.paths == ["a.keras"]


def test_averages_can_be_saved(monkeypatch):
    model = small_model(optimizer=optimizers.SGD(0.1, use_ema=True))
    kept = []
    monkeypatch.setattr(type(model), "save", lambda self, path, overwrite: kept.append(self.get_weights()))
    x = np.linspace(-1, 1, 8, dtype="float32")[:, None]
    model.fit(
        x, x, epochs=2, callbacks=[SwapEMAWeights(swap_on_epoch=True), ModelCheckpoint("a.keras")], verbose=0
    )
    for saved, average in zip(kept[-1], model.optimizer.averaged(), strict=True):
        np.testing.assert_array_equal(saved, average[1].numpy())
