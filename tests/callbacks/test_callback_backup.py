"""BackupAndRestore: what is resumed is bit for bit what would not have been interrupted."""

import numpy as np
import pytest
import safetensors.numpy

import lamina
from lamina import callbacks, layers, optimizers
from lamina.callbacks import BackupAndRestore, Callback, EarlyStopping, ReduceLROnPlateau
from lamina.core.errors import ArgumentError, DataError
from lamina.training import snapshot

ROWS, BATCH = 50, 8  # 7 steps an epoch, the last of them short
SEED = 3


class CrashError(Exception):
    """What ends the first run."""


class CrashAt(Callback):
    """Raises after so many batches of all."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise CrashError


class CrashAfterEpoch(Callback):
    def __init__(self, epoch):
        super().__init__()
        self.last = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.last + 1:
            raise CrashError


class Unseeded(layers.Layer):
    """Noise from the generator of calls without a seed."""

    def call(self, x, training=False):
        return x + 0.1 * lamina.random.normal(x.shape) if training else x


def script(seed=SEED):
    """What a user's script makes before `fit`; with everything in it that has state."""
    lamina.utils.set_random_seed(seed)
    model = lamina.Sequential(
        [layers.Input((4,)), layers.Dense(8, "relu"), layers.Dropout(0.3), Unseeded(), layers.Dense(1)]
    )
    schedule = optimizers.schedules.ExponentialDecay(0.05, 5, 0.9)
    model.compile(optimizers.Adam(schedule, use_ema=True, ema_overwrite_frequency=9), "mse", metrics=["mae"])
    return model


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 4)).astype("float32")
    return x, (x[:, :1] > 0).astype("float32")


def run(model, *more, folder=None, epochs=4, save_freq="epoch", **options):
    x, y = data()
    held = [BackupAndRestore(folder, save_freq=save_freq)] if folder else []
    options = {"batch_size": BATCH, "validation_split": 0.1, "verbose": 0, **options}
    return model.fit(x, y, epochs=epochs, callbacks=[*held, *more], **options)


def assert_same_state(one, other):
    for left, right in zip(snapshot.state_of(one), snapshot.state_of(other), strict=True):
        np.testing.assert_array_equal(left.numpy(), right.numpy(), err_msg=left.path)


def resumed(folder, crash, seed=SEED, **options):
    """The run that goes on after one that crashed; made by the same script, but for the seed."""
    with pytest.raises(CrashError):
        run(script(), crash, folder=folder, **options)
    model = script(seed)
    return model, run(model, folder=folder, **options)


@pytest.mark.parametrize("batches", [5, 6, 7, 8, 17])
@pytest.mark.parametrize("save_freq", [1, 3, 6, 13])
def test_resuming_within_an_epoch_is_exact(tmp_path, save_freq, batches):
    whole = script()
    expected = run(whole)
    model, history = resumed(tmp_path / "b", CrashAt(batches), save_freq=save_freq)
    assert_same_state(model, whole)
    for name, values in expected.history.items():
        assert history.history[name] == values[-len(history.epoch) :]
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("epoch", [0, 2])
def test_resuming_after_an_epoch_is_exact(tmp_path, epoch):
    whole = script()
    expected = run(whole)
    # Another seed: weights, noise and the order of the rows come from the backup.
    model, history = resumed(tmp_path / "b", CrashAfterEpoch(epoch), seed=99)
    assert_same_state(model, whole)
    assert history.epoch == list(range(epoch + 1, 4))
    assert history.history["loss"] == expected.history["loss"][epoch + 1 :]


def test_callbacks_with_counters_go_on(tmp_path):
    def more():
        return [
            ReduceLROnPlateau("loss", patience=2, factor=0.5, min_delta=10.0),
            EarlyStopping("loss", patience=4, min_delta=10.0, restore_best_weights=True),
        ]

    def start():
        model = script()
        model.compile("sgd", "mse")
        return model

    folder = tmp_path / "b"
    whole, model = start(), start()
    expected = run(whole, *more(), epochs=9)
    with pytest.raises(CrashError):
        run(start(), CrashAfterEpoch(3), *more(), folder=folder, epochs=9)
    history = run(model, LambdaNothing(), *more(), folder=folder, epochs=9)
    assert len(expected.epoch) == 5
    assert history.epoch == [4]
    assert history.history["learning_rate"] == expected.history["learning_rate"][4:]
    assert_same_state(model, whole)


class LambdaNothing(Callback):
    """Stands where the crash was, so that the callbacks are in the same places."""


@pytest.mark.parametrize("steps", [None, 5])
def test_sources_of_batches_are_run_through_again(tmp_path, steps):
    x, y = data()

    class Batches:
        def __iter__(self):
            for start in range(0, 48, BATCH):
                yield x[start : start + BATCH], y[start : start + BATCH]

    def fit(model, *held):
        return model.fit(Batches(), epochs=3, steps_per_epoch=steps, callbacks=list(held), verbose=0)

    whole, model = script(), script()
    fit(whole)
    for batches in (2, 6, 9):
        folder = tmp_path / str(batches)
        with pytest.raises(CrashError):
            fit(script(), BackupAndRestore(folder, save_freq=2), CrashAt(batches))
        model = script()
        history = fit(model, BackupAndRestore(folder, save_freq=2))
        assert_same_state(model, whole)
        assert history.history.keys() == {"loss", "mae"}


def test_the_folder_stays_if_wanted(tmp_path):
    x, y = data()
    keeping = BackupAndRestore(tmp_path / "b", delete_checkpoint=False, double_checkpoint=True)
    model = script()
    model.fit(x, y, epochs=2, callbacks=[keeping], verbose=0)
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["latest.backup", "previous.backup"]
    # All epochs are done: nothing is left to train.
    before = model.get_weights()
    assert script().fit(x, y, epochs=2, callbacks=[keeping], verbose=0).epoch == []
    again = script()
    assert again.fit(x, y, epochs=3, callbacks=[keeping], verbose=0).epoch == [2]
    assert not np.array_equal(again.get_weights()[0], before[0])


def test_a_damaged_backup_is_not_taken_for_one(tmp_path):
    folder = tmp_path / "b"
    with pytest.raises(CrashError):
        run(script(), CrashAfterEpoch(1), folder=folder)
    latest = folder / "latest.backup"
    good = latest.read_bytes()
    other = good.replace(b"lamina training 2", b"lamina training 9")
    flipped = good[:-1] + bytes([good[-1] ^ 1])
    for damaged, why in (
        (good[:-3], "cut off"),
        (flipped, "bytes were changed"),
        (b"", "header is not complete"),
        (safetensors.numpy.save({"0": np.zeros(3)}), "training"),
    ):
        latest.write_bytes(damaged)
        with pytest.raises(DataError, match=f"cannot be read: .*{why}"):
            run(script(), folder=folder)
    latest.write_bytes(other)
    with pytest.raises(DataError, match="another format"):
        run(script(), folder=folder)
    (folder / "previous.backup").write_bytes(good)
    assert run(script(), folder=folder).epoch == [2, 3]


def test_the_backup_of_another_model_is_refused(tmp_path):
    folder = tmp_path / "b"
    with pytest.raises(CrashError):
        run(script(), CrashAfterEpoch(1), folder=folder)
    wider = lamina.Sequential([layers.Input((4,)), layers.Dense(9), layers.Dense(1)])
    wider.compile("adam", "mse")
    before = wider.get_weights()
    with pytest.raises(DataError, match=r"that of another model[\s\S]*a backup_dir of its own"):
        run(wider, folder=folder)
    for weight, old in zip(wider.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_wrong_arguments():
    with pytest.raises(ArgumentError, match="needs a backup_dir"):
        BackupAndRestore("")
    for wrong in ("batch", 0, 1.5, True):
        with pytest.raises(ArgumentError, match="'epoch' or a number of batches"):
            BackupAndRestore("b", save_freq=wrong)


def test_it_acts_after_the_others():
    held = callbacks.CallbackList([BackupAndRestore("b"), Callback(), callbacks.History()])
    assert isinstance(held.callbacks[-1], BackupAndRestore)
