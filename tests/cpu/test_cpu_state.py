"""State in the native backend: updates in place and by copy, guards, threads, aborting, the disk cache."""

import threading
import time

import numpy as np
import pytest

from lamina.backends.base import Program
from lamina.backends.cpu import CpuBackend, cache, executable
from lamina.core.config import config
from lamina.grad.reverse import gradients
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.graph import TensorType
from lamina.ir.structure import structure_key
from lamina.ir.trace import new_input


def compiled(program):
    roles = f"{len(program.states)} {len(program.outputs)} {[position for position, _ in program.updates]}"
    return CpuBackend().compile(program, roles + structure_key(program.graph))


def state(shape, name="state", dtype="float32"):
    return new_input(name, TensorType(shape, dtype))


def product(x, y):
    return p.dot(x, y, contract=((1,), (0,)), batch=((), ()))


def training_program(rows=37, features=20, units=33, classes=5):
    """A two-layer regression step with momentum: products, reductions, updates in place, guards."""
    x, y = state((rows, features), "x"), state((rows, classes), "y")
    first, second = state((features, units)), state((units, classes))
    momenta = [state(first.shape), state(second.shape)]
    hidden = p.tanh(product(x, first))
    error = p.subtract(product(hidden, second), y)
    loss = p.reduce_sum(p.multiply(error, error), axes=(0, 1))
    slopes = gradients(loss, [first, second])
    updates = []
    for position, (weight, momentum, slope) in enumerate(zip((first, second), momenta, slopes)):
        moved = p.add(p.multiply(momentum, full(momentum.shape, 0.9, "float32")), slope)
        step = p.multiply(moved, full(moved.shape, 1e-4, "float32"))
        updates += [(position, p.subtract(weight, step)), (position + 2, moved)]
    return Program("step", (first, second, *momenta), (x, y), (loss,), tuple(updates), (loss, *slopes))


def training_state(rng, program):
    return tuple(rng.standard_normal(value.shape).astype("float32") * 0.1 for value in program.states)


def test_updates_that_read_each_other_see_the_old_state():
    first, second = state((5,)), state((5,))
    swap = Program("swap", (first, second), (), (), ((0, second), (1, p.add(first, second))))
    arrays = (np.arange(5, dtype="float32"), np.full(5, 10, "float32"))
    compiled(swap).run(arrays, ())
    np.testing.assert_array_equal(arrays[0], np.full(5, 10))
    np.testing.assert_array_equal(arrays[1], np.arange(5) + 10)


def test_an_update_that_reads_its_state_elsewhere_is_not_made_in_place():
    value = state((6,))
    reversed_sum = p.add(value, p.reverse(value, axes=(0,)))
    arrays = (np.arange(6, dtype="float32"),)
    compiled(Program("mirror", (value,), (), (value,), ((0, reversed_sum),))).run(arrays, ())
    np.testing.assert_array_equal(arrays[0], np.full(6, 5))


def test_a_row_normalised_by_its_own_sum_in_place():
    value = state((40, 300))
    total = p.broadcast(p.reduce_sum(value, axes=(1,)), shape=value.shape, axes=(0,))
    array = np.random.default_rng(0).random((40, 300)).astype("float32") + 0.5
    expected = array / array.sum(1, keepdims=True)
    compiled(Program("rows", (value,), (), (), ((0, p.divide(value, total)),))).run((array,), ())
    np.testing.assert_allclose(array, expected, rtol=1e-5)


def test_outputs_see_the_state_before_the_step_and_the_new_value_where_asked():
    value = state((3,))
    more = p.add(value, full((3,), 1.0, "float32"))
    arrays = (np.zeros(3, "float32"),)
    (old, new), _ = compiled(Program("count", (value,), (), (value, more), ((0, more),))).run(arrays, ())
    np.testing.assert_array_equal(old, np.zeros(3))
    np.testing.assert_array_equal(new, np.ones(3))
    np.testing.assert_array_equal(arrays[0], np.ones(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [(1,), (5,), (16,), (1000,), (33, 17)])
def test_a_step_with_a_bad_guard_changes_nothing(bad, size):
    value, x = state(size), state(size, "x")
    moved = p.add(value, x)
    program = Program("guarded", (value,), (x,), (), ((0, moved),), (moved,))
    run = compiled(program)
    array = np.ones(size, "float32")
    good = np.ones(size, "float32")
    assert run.run((array,), (good,))[1]
    np.testing.assert_array_equal(array, 2 * good)
    wrong = good.copy()
    wrong.flat[-1] = bad
    assert not run.run((array,), (wrong,))[1]
    np.testing.assert_array_equal(array, 2 * good)
    assert run.run((array,), (good,))[1]


def test_a_guarded_gradient_of_a_product_stops_the_step(rng):
    program = training_program()
    run, arrays = compiled(program), training_state(rng, program)
    before = [array.copy() for array in arrays]
    x = rng.standard_normal(program.inputs[0].shape).astype("float32")
    y = rng.standard_normal(program.inputs[1].shape).astype("float32")
    x[3, 4] = np.inf
    assert not run.run(arrays, (x, y))[1]
    for now, then in zip(arrays, before):
        np.testing.assert_array_equal(now, then)


def test_many_steps_stop_before_the_first_bad_one(rng):
    program = training_program(rows=4)
    run, arrays = compiled(program), training_state(rng, program)
    x = rng.standard_normal((40, 20)).astype("float32")
    y = rng.standard_normal((40, 5)).astype("float32")
    x[30] = np.nan
    index = np.arange(40).reshape(10, 4)
    alone = [array.copy() for array in arrays]
    result = run.run_steps(arrays, (x, y), index)
    assert (result.done, result.finite) == (7, False)
    for rows in index[:7]:
        assert run.run(tuple(alone), (x[rows], y[rows]))[1]
    for now, then in zip(arrays, alone):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("shape", [(37, 20, 33, 5), (128, 64, 96, 10)])
def test_any_number_of_threads_gives_the_same_bits(rng, monkeypatch, shape):
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    program = training_program(*shape)
    start = training_state(rng, program)
    x = rng.standard_normal((500, shape[1])).astype("float32")
    y = rng.standard_normal((500, shape[3])).astype("float32")
    index = rng.integers(0, 500, (12, shape[0]))
    results = []
    for count in (1, 2, 3, 8):
        monkeypatch.setitem(vars(config), "num_threads", count)
        run = compiled(program)
        assert run.report.threads == count
        arrays = tuple(array.copy() for array in start)
        assert run.run_steps(arrays, (x, y), index).done == 12
        results.append([array.tobytes() for array in arrays])
    assert results[0] == results[1] == results[2] == results[3]


def test_more_threads_than_processors_slow_down_gracefully(rng, monkeypatch):
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    program = training_program()
    x = rng.standard_normal((64, 20)).astype("float32")
    y = rng.standard_normal((64, 5)).astype("float32")
    monkeypatch.setitem(vars(config), "num_threads", 16)
    run = compiled(program)
    start = time.perf_counter()
    run.run_steps(training_state(rng, program), (x, y), rng.integers(0, 64, (20, 37)))
    assert time.perf_counter() - start < 20


def test_bytes_are_converted_while_batches_are_gathered(rng):
    x = state((8, 12), "x")
    run = compiled(Program("sums", (), (x,), (p.reduce_sum(x, axes=(1,)),)))
    images = rng.integers(0, 256, (50, 12)).astype("uint8")
    rows = rng.integers(0, 50, (1, 8))
    result = run.run_steps((), (images,), rows)
    np.testing.assert_array_equal(result.outputs[0], images[rows[0]].sum(1).astype("float32"))


def test_data_of_another_float_width_is_converted(rng):
    x = state((8, 3), "x")
    run = compiled(Program("double", (), (x,), (p.add(x, x),)))
    data = rng.standard_normal((20, 3))
    rows = np.arange(8)[None]
    np.testing.assert_array_equal(run.run_steps((), (data,), rows).outputs[0], 2 * data[:8].astype("float32"))


def test_abort_ends_a_run_after_a_whole_step(rng):
    program = training_program(rows=128)
    run, arrays = compiled(program), training_state(rng, program)
    x = rng.standard_normal((128, 20)).astype("float32")
    y = rng.standard_normal((128, 5)).astype("float32")
    index = np.zeros((2_000_000, 1), np.int64) + np.arange(128)
    timer = threading.Timer(0.1, run.abort)
    timer.start()
    start = time.perf_counter()
    result = run.run_steps(arrays, (x, y), index[:200_000])
    timer.join()
    assert 0 < result.done < 200_000
    assert result.finite
    assert time.perf_counter() - start < 5


def test_concurrent_calls_do_not_disturb_each_other(rng):
    x, weight = state((64, 30), "x"), state((30, 40))
    run = compiled(Program("predict", (weight,), (x,), (p.tanh(product(x, weight)),)))
    matrix = rng.standard_normal((30, 40)).astype("float32")
    inputs = [rng.standard_normal((64, 30)).astype("float32") for _ in range(8)]
    expected = [run.run((matrix,), (array,))[0][0] for array in inputs]
    wrong = []

    def work(number):
        for _ in range(200):
            found = run.run((matrix,), (inputs[number],))[0][0]
            if found.tobytes() != expected[number].tobytes():
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_wrong_arrays_are_refused():
    x = state((4, 3), "x")
    run = compiled(Program("same", (), (x,), (p.add(x, x),)))
    for wrong in (np.zeros((4, 2), "float32"), np.zeros((4, 3), "float64")):
        with pytest.raises(ValueError, match=r"compiled for float32\[4,3\]"):
            run.run((), (wrong,))
    with pytest.raises(ValueError, match="takes 1 inputs"):
        run.run((), ())


def test_code_comes_back_from_the_disk_cache(tmp_path, monkeypatch, rng):
    monkeypatch.setitem(vars(config), "cache_dir", tmp_path)
    program = training_program()
    first, second = compiled(program), compiled(program)
    assert not first.report.cache_hit
    assert second.report.cache_hit
    arrays = training_state(rng, program)
    others = tuple(array.copy() for array in arrays)
    x = rng.standard_normal(program.inputs[0].shape).astype("float32")
    y = rng.standard_normal(program.inputs[1].shape).astype("float32")
    first.run(arrays, (x, y))
    second.run(others, (x, y))
    assert [array.tobytes() for array in arrays] == [array.tobytes() for array in others]


def test_a_damaged_or_foreign_cache_entry_is_a_miss(tmp_path, monkeypatch):
    monkeypatch.setitem(vars(config), "cache_dir", tmp_path)
    program = training_program()
    compiled(program)
    (entry,) = (tmp_path / "code").iterdir()
    data = bytearray(entry.read_bytes())
    data[len(data) // 2] ^= 1
    entry.write_bytes(data)
    assert cache.read(entry.name) is None
    assert not compiled(program).report.cache_hit
    entry.write_bytes(b"")
    assert not compiled(program).report.cache_hit


def test_a_cache_directory_that_others_may_write_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setitem(vars(config), "cache_dir", tmp_path)
    compiled(training_program())
    (tmp_path / "code").chmod(0o777)
    assert cache.directory() is None
    assert not compiled(training_program()).report.cache_hit


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("columns", [17, 18, 33])
def test_rows_of_a_scatter_end_where_the_next_begins(dtype, columns, rng):
    """A vector that holds the one element after whole vectors writes nothing behind it."""
    x, added = state((3, columns), "x", dtype), state((1, columns), "added", dtype)
    where = state((1,), "where", "int32")
    program = Program("scatter", (), (x, where, added), (p.scatter_add(x, where, added, axis=0),))
    array = rng.integers(-9, 9, (3, columns)).astype(dtype)
    for row in range(3):
        more = rng.integers(-9, 9, (1, columns)).astype(dtype)
        found = compiled(program).run((), (array, np.array([row], "int32"), more))[0][0]
        expected = array.copy()
        expected[row] += more[0]
        np.testing.assert_array_equal(np.asarray(found, "float32"), np.asarray(expected, "float32"))


def test_products_with_a_scalar_constant():
    x = state((3,), "x")
    result = p.dot(x, full((), 2.0, "float32"), contract=((), ()), batch=((), ()))
    found = compiled(Program("scaled", (), (x,), (result,))).run((), (np.arange(3, dtype="float32"),))[0][0]
    np.testing.assert_array_equal(found, [0.0, 2.0, 4.0])
