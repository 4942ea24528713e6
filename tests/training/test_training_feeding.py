"""Batches that look alike take a short way: the same numbers, and the same refusals, as on the long one."""

import gc
import multiprocessing
import sys
import threading

import numpy as np
import pytest
from process_batches import Numbered

from lamina import Sequential, layers
from lamina.core.errors import DataError, DTypeError
from lamina.training.alike import Alike
from lamina.training.arrays import to_leaves
from lamina.training.data import DataSet
from lamina.training.prefetch import Prefetcher
from lamina.training.py_dataset import Indexed
from lamina.training.user_batches import UserBatches
from lamina.training.worth import Worth
from lamina.utils import set_random_seed

rng = np.random.default_rng(8)
X = rng.normal(size=(48, 3)).astype("float32")
Y = rng.integers(0, 4, 48).astype("int32")
BATCH = 8


def classifier(loss="sparse_categorical_crossentropy"):
    set_random_seed(2)
    model = Sequential([layers.Input((3,)), layers.Dense(4, "softmax")])
    model.compile("sgd", loss, metrics=["accuracy"])
    return model


def reading(model):
    """What makes batches for it, outside of an adapter that counts them."""
    return lambda given, later: UserBatches(model).read(given)


def cut(*arrays):
    return [tuple(array[start : start + BATCH] for array in arrays) for start in range(0, 48, BATCH)]


def weights_after(batches, **fit):
    model = classifier()
    history = model.fit(iter(batches), verbose=0, **fit)
    return [*model.get_weights(), np.array(history.history["loss"])]


FORMS = {
    "right already": cut(X, Y),
    "float64 and int64": cut(X.astype("float64"), Y.astype("int64")),
    "float16": cut(X.astype("float16"), Y),
    "lists": [list(pair) for pair in cut(X, Y)],
    "another order in memory": cut(np.asfortranarray(X), Y),
    "big-endian": cut(X.astype(">f4"), Y.astype(">i4")),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_arrays_become_the_same_batches(name):
    batches = FORMS[name]
    model = classifier()
    reader = UserBatches(model)
    first = reader.read(batches[0])
    assert Alike.possible(batches[0], first)
    x = X.astype("float16").astype("float32") if name == "float16" else X
    expected = classifier()
    expected.fit(x, Y, batch_size=BATCH, shuffle=False, verbose=0)
    for one, other in zip(weights_after(batches), expected.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_a_buffer_that_is_filled_anew_for_each_batch():
    def reusing():
        x, y = np.empty((BATCH, 3), "float32"), np.empty(BATCH, "int32")
        for given in cut(X, Y):
            x[...], y[...] = given
            yield x, y

    for one, other in zip(weights_after(reusing()), weights_after(cut(X, Y))):
        np.testing.assert_array_equal(one, other)


def changed(array, value):
    array = array.copy()
    array[26] = value  # in batch 3
    return array


BAD = {
    "NaN": (cut(changed(X, np.nan), Y), DataError, "x contains NaN"),
    "infinity in float64": (cut(changed(X.astype("float64"), np.inf), Y), DataError, "x contains infinity"),
    "too large": (cut(changed(X.astype("float64"), 1e300), Y), DTypeError, "too large for float32"),
    "a class too many": (cut(X, changed(Y, 4)), DataError, "outside the 4 classes"),
    "a negative class": (cut(X, changed(Y.astype("int64"), -1)), DataError, "outside the 4 classes"),
    "integers too large": (cut(X, changed(Y.astype("int64"), 2**40)), DTypeError, "too large for int32"),
    "no weight": (
        cut(X, Y, np.repeat([1.0, 1.0, 1.0, 0.0, 1.0, 1.0], BATCH).astype("float32")),
        DataError,
        "All sample weights are 0",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_values_are_refused_in_the_batch_that_has_them(name):
    batches, kind, words = BAD[name]
    model = classifier()
    with pytest.raises(kind, match=words) as caught:
        model.fit(iter(batches), verbose=0)
    assert any("batch 3" in note for note in caught.value.__notes__)
    assert int(model.optimizer.iterations) == 3


def test_batches_that_are_looked_at_together_keep_their_numbers():
    """Five passes of six batches in one go, the last of which has a wrong label in its batch 4."""
    passes = []

    class Source:
        def __iter__(self):
            passes.append(1)
            y = Y if len(passes) < 5 else np.where(np.arange(48) == 35, 9, Y)
            return iter(cut(X, y))

    model = classifier()
    with pytest.raises(DataError, match="9 in row 3 of y") as caught:
        model.fit(Source(), steps_per_epoch=30, verbose=0)
    assert any("batch 4, counted" in note for note in caught.value.__notes__)
    assert int(model.optimizer.iterations) == 28


def test_large_but_finite_numbers_are_welcome():
    x = changed(X, 3e25)  # whose square is infinite
    model = classifier()
    model.evaluate(iter(cut(x, Y)), verbose=0)
    alike = UserBatches(model).alike((X[:BATCH], Y[:BATCH]), UserBatches(model).read((X[:BATCH], Y[:BATCH])))
    for values, expected in ((x, True), (changed(X, np.inf), False)):
        arrays = [values[16:40], Y[16:40]]
        assert alike.accept(alike.stretch(arrays, arrays)) == expected


def test_dicts_keep_their_keys_apart():
    batches = [{"b": x, "a": y} for x, y in cut(X, Y)]
    alike = Alike(batches[0], DataSet(to_leaves(batches[0], "x")), [True, False], lambda targets: ())
    assert [array.dtype.name for array in alike.arrays(batches[1])] == ["int32", "float32"]
    assert alike.arrays({"a": batches[1]["a"], "c": batches[1]["b"]}) is None
    assert alike.arrays({"b": X[:4], "a": Y[:4]}) is None
    assert alike.arrays([X[:8], Y[:8]]) is None


def test_batches_of_many_sizes_wait_in_rings_of_their_own():
    sizes = [5, 3, 5, 4, 3, 3, 5, 7, 1, 5, 2, 5]
    ends = np.cumsum(sizes)
    parts = [(X[end - size : end], Y[end - size : end]) for end, size in zip(ends, sizes)]
    reader = UserBatches(classifier())
    ahead = Prefetcher(lambda given, later: reader.read(given), reader.alike(parts[0], reader.read(parts[0])))
    for least in (1, 4):
        ahead.start(iter(parts))
        found = []
        while (work := ahead.take(4, least)) is not None:
            found += [work.arrays[0][rows].copy() for rows in work.order]
        assert [len(rows) for rows in found] == sizes
        np.testing.assert_array_equal(np.concatenate(found), X[: ends[-1]])
        assert ahead.stop()
    assert ahead.close()


def test_python_switches_threads_as_before_however_passes_end():
    before = sys.getswitchinterval()
    stopped, forgotten = (Prefetcher(reading(classifier())) for _ in range(2))
    assert sys.getswitchinterval() < before
    for _ in range(2):
        assert stopped.close()
    assert sys.getswitchinterval() < before
    del forgotten
    gc.collect()
    assert sys.getswitchinterval() == before


def test_python_switches_threads_as_before_when_training_ends():
    before = sys.getswitchinterval()
    seen = []

    def looking():
        for given in cut(X, Y):
            seen.append(sys.getswitchinterval())
            yield given

    classifier().fit(looking(), verbose=0)
    assert seen[-1] < before
    assert sys.getswitchinterval() == before


def worth_of(monkeypatch, step, cores):
    """After a step of that many seconds, on so many cores."""
    worth, clocks = Worth(), {"wall": 0.0, "busy": 0.0}
    monkeypatch.setattr("lamina.training.worth.time.perf_counter", lambda: clocks["wall"])
    monkeypatch.setattr("lamina.training.worth.time.process_time", lambda: clocks["busy"])
    worth.leave(4)
    clocks.update(wall=4 * step, busy=4 * step * cores)
    worth.come_back()
    monkeypatch.undo()
    return worth


# Seconds of a step, cores it uses, seconds that a batch takes, seconds of them with work; worth a thread?
COSTS = {
    "cheap": (1e-3, 1, 2e-5, 2e-5, False),
    "dear": (1e-3, 1, 5e-4, 5e-4, True),
    "dear, but not for a busy machine": (1e-3, 2, 2e-4, 2e-4, False),
    "dear for a busy machine, too": (1e-3, 2, 5e-4, 5e-4, True),
    "waiting for a file": (1e-3, 2, 2e-4, 1e-5, True),
}


@pytest.mark.parametrize("name", COSTS)
def test_dear_batches_are_worth_a_thread(name, monkeypatch):
    step, cores, seconds, busy, expected = COSTS[name]
    worth = worth_of(monkeypatch, step, cores)
    assert not worth.made(seconds, busy)
    assert worth.made(seconds, busy) == expected
    worth.begin()
    assert worth.made(seconds, busy) == expected  # what was dear in the last pass is so at once


def test_one_dear_batch_is_an_accident(monkeypatch):
    worth = worth_of(monkeypatch, 1e-3, 1)
    for _ in range(3):
        assert not worth.made(5e-4, 5e-4)
        assert not worth.made(1e-5, 1e-5)


# --- processes -------------------------------------------------------------------------------------


def test_processes_live_as_long_as_training_and_see_what_changes():
    data = Numbered()
    batches = Indexed(data)
    passes = []
    for _ in range(2):
        passes.append([x[0].tolist() for x, _ in batches])
        data.on_epoch_end()
    batches.workers.close()
    (first,), (second,) = ({tuple(row) for row in rows} for rows in passes)
    assert first[0] == second[0]
    assert (first[1], second[1]) == (0, 1)
    assert not multiprocessing.active_children()


def test_no_process_is_left_behind():
    model = Sequential([layers.Input((2,)), layers.Dense(1)])
    model.compile("sgd", lambda y, p: 0 * p[:, 0])
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        model.fit(Numbered(failing=5), epochs=3, shuffle=False, verbose=0)
    assert not multiprocessing.active_children()
    assert int(model.optimizer.iterations) == 5
    assert threading.active_count() <= before
