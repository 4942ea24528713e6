"""Batches from anything that yields them: the same training as on arrays, and clear ends of bad sources."""

import itertools
import threading

import h5py
import numpy as np
import pandas
import pytest
import scipy.sparse

import lamina
from lamina import Sequential, layers
from lamina.core.errors import ArgumentError, DataError
from lamina.training.prefetch import Prefetcher
from lamina.training.user_batches import UserBatches
from lamina.utils import PyDataset

rng = np.random.default_rng(4)
X = rng.normal(size=(40, 3)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.5]], "float32")
BATCH = 8
STARTS = range(0, 40, BATCH)


def regressor():
    lamina.utils.set_random_seed(1)
    model = Sequential([layers.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def batch(number):
    rows = slice(BATCH * number, BATCH * (number + 1))
    return X[rows], Y[rows]


class Batches(PyDataset):
    """X and Y in five batches; notes what is asked of it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.asked = []

    def __len__(self):
        return 5

    def __getitem__(self, index):
        self.asked.append(index)
        return batch(index)

    def on_epoch_begin(self):
        self.asked.append("begin")

    def on_epoch_end(self):
        self.asked.append("end")


class Loader:
    """Like a data set of another library: its batches start anew, and its length is not known."""

    def __iter__(self):
        return map(batch, range(5))

    def __len__(self):
        raise TypeError("the length is unknown")


def generator():
    while True:
        yield from map(batch, range(5))


class ForeignTensor:
    """As a tensor of another library: NumPy can read it, and that is all it has in common with an array."""

    def __init__(self, array):
        self._array = array
        self.dtype = f"library.{array.dtype}"
        self.shape = self.size = None

    def __array__(self, dtype=None, copy=None):
        return self._array if dtype is None else self._array.astype(dtype)


class TensorLoader:
    """As PyTorch's DataLoader: a length, and lists of tensors of its own kind."""

    def __len__(self):
        return 5

    def __iter__(self):
        return ([ForeignTensor(part) for part in batch(number)] for number in range(5))


SOURCES = {
    "generator": (generator, {"steps_per_epoch": 5}),
    "an iterable": (Loader, {}),
    "an iterable that goes on": (Loader, {"steps_per_epoch": 5}),
    "PyDataset": (Batches, {}),
    "PyDataset with threads": (lambda: Batches(workers=3, max_queue_size=2), {}),
    "loader of tensors": (TensorLoader, {}),
}


@pytest.fixture
def expected():
    """The history and the weights of three epochs on arrays."""
    model = regressor()
    history = model.fit(X, Y, batch_size=BATCH, epochs=3, shuffle=False, verbose=0).history
    return history, model.get_weights()


def check(model, history, expected):
    assert history == expected[0]
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), expected[1], strict=True))


@pytest.mark.parametrize(("make", "options"), SOURCES.values(), ids=SOURCES)
def test_every_source_trains_as_arrays_do(make, options, expected):
    model = regressor()
    history = model.fit(make(), epochs=3, shuffle=False, verbose=0, **options).history
    check(model, history, expected)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_validates_evaluates_and_predicts(name):
    model = regressor()
    make, options = SOURCES[name]
    steps = options.get("steps_per_epoch")
    np.testing.assert_allclose(
        model.evaluate(make(), steps=steps, verbose=0), model.evaluate(X, Y, verbose=0), rtol=1e-5
    )
    np.testing.assert_array_equal(
        model.predict(make(), steps=steps, verbose=0), model.predict(X, batch_size=BATCH, verbose=0)
    )
    history = model.fit(
        X, Y, epochs=4, validation_data=make(), validation_steps=steps, validation_freq=2, verbose=0
    ).history
    assert len(history["val_loss"]) == 2


def reading(model):
    """What makes batches for it, outside of an adapter that counts them."""
    return lambda given, later: UserBatches(model).read(given)


def test_batches_are_taken_many_at_a_time(monkeypatch):
    monkeypatch.setattr("lamina.training.prefetch._SECONDS_AT_ONCE", 60.0)
    ahead = Prefetcher(reading(regressor()))
    ahead._worth.made = lambda *times: True
    ahead.start(map(batch, range(5)))
    works = [ahead.take(2)]
    with ahead._changed:
        assert ahead._changed.wait_for(lambda: ahead._finished, 10)
    works.append(ahead.take(100))
    assert [len(work.order) for work in works] == [2, 3]
    rows = np.concatenate([work.arrays[0][work.order.reshape(-1)] for work in works])
    np.testing.assert_array_equal(rows, X)
    assert ahead.take(1) is None
    assert ahead.close()


def test_cheap_batches_are_made_when_they_are_taken(monkeypatch):
    monkeypatch.setattr("lamina.training.prefetch._SECONDS_AT_ONCE", 60.0)
    before, given = threading.active_count(), []
    ahead = Prefetcher(reading(regressor()))
    ahead._worth.made = lambda *times: False
    ahead.start(given.append(number) or batch(number) for number in range(5))
    for steps, so_far in ((2, 2), (100, 5)):
        work = ahead.take(steps, least=2)
        np.testing.assert_array_equal(
            work.arrays[0][work.order.reshape(-1)], X[BATCH * (so_far - len(work.order)) : BATCH * so_far]
        )
        assert len(given) == so_far
    assert ahead.take(1) is None
    assert threading.active_count() == before
    assert ahead.close()


def test_slow_sources_run_beside_training():
    """The source waits until its first batches are in use, and is not waited for by whoever uses them."""
    used, asked = threading.Event(), []

    def waiting():
        yield batch(0)
        yield batch(1)
        asked.append(used.wait(20))
        yield batch(2)

    ahead = Prefetcher(reading(regressor()))
    ahead._worth.made = lambda *times: True
    ahead.start(waiting())
    for _ in range(2):
        assert len(ahead.take(1).order) == 1
    assert asked == []
    used.set()
    assert len(ahead.take(1).order) == 1
    assert asked == [True]
    assert ahead.take(1) is None
    assert ahead.close()


def test_batches_of_other_sizes_come_in_their_turn():
    sizes = [3, 3, 5, 3]
    ends = list(itertools.accumulate(sizes))
    model, other = regressor(), regressor()
    cuts = [slice(end - size, end) for size, end in zip(sizes, ends)]
    history = model.fit((Pair(X[cut], Y[cut]) for cut in cuts), verbose=0).history
    for cut in cuts:
        other.train_on_batch(X[cut], Y[cut])
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), other.get_weights(), strict=True))
    assert list(history) == ["loss", "mae"]


class Pair(tuple):
    """A batch of another library's own kind of tuple."""

    def __new__(cls, *parts):
        return super().__new__(cls, parts)


def test_a_generator_is_not_asked_for_more_than_is_needed():
    given = []

    def counting():
        for pair in generator():
            given.append(None)
            yield pair

    source = counting()
    model = regressor()
    model.fit(source, steps_per_epoch=5, epochs=2, verbose=0)
    assert len(given) == 10
    model.evaluate(source, steps=3, verbose=0)
    assert len(given) == 13


def test_hooks_of_epochs_come_between_the_batches_of_epochs():
    data = Batches()
    regressor().fit(data, epochs=2, shuffle=False, verbose=0)
    assert data.asked == [0, "begin", 1, 2, 3, 4, "end", "begin", 0, 1, 2, 3, 4, "end"]


def test_batches_of_a_data_set_are_shuffled_by_the_seed():
    orders = []
    for _ in range(2):
        data = Batches()
        regressor().fit(data, epochs=2, verbose=0)
        orders.append([entry for entry in data.asked if isinstance(entry, int)])
    assert orders[0] == orders[1]
    assert orders[0] != [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert sorted(orders[0][:5]) == sorted(orders[0][5:]) == [0, 1, 2, 3, 4]


def test_a_training_that_goes_on_shuffles_as_if_it_had_not_stopped():
    whole, parts = regressor(), regressor()
    lamina.utils.set_random_seed(3)
    whole.fit(X, Y, batch_size=BATCH, epochs=4, verbose=0)
    lamina.utils.set_random_seed(3)
    parts.fit(X, Y, batch_size=BATCH, epochs=2, verbose=0)
    lamina.utils.set_random_seed(3)
    parts.fit(X, Y, batch_size=BATCH, epochs=4, initial_epoch=2, verbose=0)
    assert all(np.array_equal(*pair) for pair in zip(whole.get_weights(), parts.get_weights(), strict=True))


def test_local_data_sets_are_made_by_threads_instead_of_processes(expected):
    class Local(Batches):
        pass

    model = regressor()
    with pytest.warns(UserWarning, match="cannot be used by other processes"):
        history = model.fit(Local(use_multiprocessing=True, workers=2), epochs=1, shuffle=False, verbose=0)
    assert history.history["loss"] == expected[0]["loss"][:1]


# --- rows on demand --------------------------------------------------------------------------------


@pytest.fixture(params=["float64 file", "float32 file", "float16 file", "HDF5", "sparse"])
def on_demand(request, tmp_path):
    """(x as rows on demand, x as an array)."""
    x = X * (np.abs(X) > 0.5)
    if request.param == "HDF5":
        with h5py.File(tmp_path / "x.h5", "w") as file:
            yield file.create_dataset("x", data=x), x
        return
    if request.param == "sparse":
        yield scipy.sparse.csr_matrix(x), x
        return
    x = x.astype(request.param.split()[0])
    np.save(tmp_path / "x.npy", x)
    yield np.load(tmp_path / "x.npy", mmap_mode="r"), x.astype("float32")


@pytest.mark.parametrize("shuffle", [False, True])
def test_rows_on_demand_train_as_arrays_do(on_demand, shuffle):
    lazy, x = on_demand
    model, other = regressor(), regressor()
    options = {"batch_size": 7, "epochs": 2, "shuffle": shuffle, "validation_split": 0.2, "verbose": 0}
    histories = []
    for trained, data in ((model, lazy), (other, x)):
        lamina.utils.set_random_seed(5)
        histories.append(trained.fit(data, Y, **options).history)
    assert histories[0] == histories[1]
    np.testing.assert_array_equal(model.predict(lazy, verbose=0), model.predict(x, verbose=0))
    assert model.evaluate(lazy, Y, verbose=0) == model.evaluate(x, Y, verbose=0)
    assert model.train_on_batch(lazy, Y) == other.train_on_batch(x, Y)


def test_a_file_that_is_right_already_is_used_in_place(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = regressor()._data_set(mapped, Y)
    assert np.shares_memory(data.arrays[0], mapped)


def test_frames():
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    model, other = regressor(), regressor()
    history = model.fit(frame, pandas.DataFrame(Y), shuffle=False, verbose=0).history
    assert history == other.fit(X, Y, shuffle=False, verbose=0).history


# --- sources that go wrong -------------------------------------------------------------------------


def bad(change, at=3):
    for number in range(5):
        yield change(number) if number == at else batch(number)


def fails(number):
    raise OSError(f"cannot read file {number}")


WRONG = {
    "an error": (fails, OSError, "cannot read file 3"),
    "another structure": (lambda n: ({"a": X[:BATCH]}, Y[:BATCH]), DataError, "structure"),
    "no targets": (lambda n: X[:BATCH], DataError, "structure"),
    "weights all at once": (lambda n: (*batch(n), np.ones(BATCH)), DataError, "structure"),
    "another dtype": (lambda n: (X[:BATCH].astype("int32"), Y[:BATCH]), DataError, "int32"),
    "another number of axes": (lambda n: (X[:BATCH], Y[:BATCH, 0]), DataError, "axes"),
    "another width": (lambda n: (X[:BATCH, :2], Y[:BATCH]), ValueError, "(3,)"),
    "NaN": (lambda n: (X[:BATCH] * np.nan, Y[:BATCH]), DataError, "NaN"),
    "strings": (lambda n: (np.full((BATCH, 3), "a"), Y[:BATCH]), DataError, "strings"),
    "no rows": (lambda n: (X[:0], Y[:0]), DataError, "no rows"),
    "lengths": (lambda n: (X[:BATCH], Y[:4]), DataError, "different numbers of rows"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_bad_batch_ends_training_after_the_good_ones(name):
    change, kind, words = WRONG[name]
    model, other = regressor(), regressor()
    with pytest.raises(kind) as caught:
        model.fit(bad(change), steps_per_epoch=5, verbose=0)
    notes = getattr(caught.value, "__notes__", [])
    assert words in str(caught.value)
    assert any("batch 3" in note and "generator" in note for note in notes)
    for number in range(3):
        other.train_on_batch(*batch(number))
    assert int(model.optimizer.iterations) == 3
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), other.get_weights(), strict=True))
    assert model.fit(X, Y, verbose=0).history["loss"]  # and the model can be trained on


def test_a_worker_that_raises():
    class Failing(Batches):
        def __getitem__(self, index):
            return fails(index) if index == 2 else batch(index)

    for workers in (1, 3):
        model = regressor()
        with pytest.raises(OSError, match="cannot read file 2"):
            model.fit(Failing(workers=workers), shuffle=False, verbose=0)
        assert int(model.optimizer.iterations) == 2


def test_sources_without_batches():
    class Empty(Batches):
        def __len__(self):
            return 0

    for source in (iter([]), Empty(), (batch(n) for n in range(0))):
        with pytest.raises(DataError, match="no batch"):
            regressor().fit(source, verbose=0)
        if not hasattr(source, "asked"):
            with pytest.raises(DataError, match="no batch"):
                regressor().predict(iter([]), verbose=0)


def test_a_source_that_ends_early():
    model = regressor()
    with (
        pytest.warns(UserWarning, match="ended after 2 batches of an epoch of 4"),
        pytest.raises(DataError, match="exhausted"),
    ):
        model.fit(map(batch, range(2)), steps_per_epoch=4, epochs=3, verbose=0)
    assert int(model.optimizer.iterations) == 2
    with pytest.raises(DataError, match="only once, not for 2 epochs"):
        model.fit(map(batch, range(2)), epochs=2, verbose=0)


def test_targets_beside_a_source():
    for method in ("fit", "evaluate"):
        with pytest.raises(ArgumentError, match="x yields batches"):
            getattr(regressor(), method)(Batches(), Y, verbose=0)


def test_no_thread_is_left_behind():
    before = set(threading.enumerate())
    model = regressor()
    model.fit(generator(), steps_per_epoch=5, verbose=0)
    model.fit(Batches(workers=3), verbose=0)
    stop = lamina.callbacks.LambdaCallback(on_epoch_end=lambda *_: setattr(model, "stop_training", True))
    model.fit(generator(), steps_per_epoch=5, epochs=1000, callbacks=[stop], verbose=0)
    with pytest.raises(OSError, match="cannot read"):
        model.fit(bad(fails), verbose=0)
    left = [thread for thread in set(threading.enumerate()) - before if thread.name == "lamina-batches"]
    assert not left


# --- validation_split ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["numbers", "one-hot"])
def test_sorted_labels_are_noticed(form):
    labels = np.repeat([0, 1, 2], 50)
    x = rng.normal(size=(150, 3)).astype("float32")
    y = np.eye(3, dtype="float32")[labels] if form == "one-hot" else labels
    loss = "categorical_crossentropy" if form == "one-hot" else "sparse_categorical_crossentropy"
    model = Sequential([layers.Input((3,)), layers.Dense(3, "softmax")])
    model.compile("sgd", loss)
    with pytest.warns(UserWarning, match="not like the 120 before.*look sorted"):
        model.fit(x, y, validation_split=0.2, verbose=0)
    shuffled = rng.permutation(150)
    model.fit(x[shuffled], y[shuffled], validation_split=0.2, verbose=0)  # no warning
    model.fit(x[:20], y[:20], validation_split=0.2, verbose=0)  # one class only
