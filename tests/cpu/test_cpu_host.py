"""Steps that call back into Python: the same numbers as the interpreter, and errors that come out."""

import threading

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.interp import host

rng = np.random.default_rng(5)
MATRICES = (rng.normal(size=(6, 4, 4)) + 4 * np.eye(4)).astype("float32")


def work(x):
    """Work before and after calls, one result that nobody wants, and one that two want."""
    u, s, _ = ops.svd(x * 2.0, full_matrices=False)
    scaled = ops.matmul(u * s[:, None, :], ops.transpose(u, (0, 2, 1)))
    return ops.sum(ops.cholesky(scaled), axis=0), s, s + 1.0


mixture = lamina.function(work)


def test_results_are_those_of_numpy():
    first, s, more = mixture(MATRICES)
    expected = np.linalg.svd(2 * MATRICES)[1]
    np.testing.assert_allclose(s, expected, rtol=1e-5)
    np.testing.assert_array_equal(more, s + 1)
    assert first.shape == (4, 4)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads(threads, monkeypatch):
    expected = mixture(MATRICES)
    monkeypatch.setattr(lamina.core.config.config, "num_threads", threads)
    wide = rng.normal(size=(600, 600)).astype("float32")

    @lamina.function
    def beside(x, y):
        return work(x), ops.matmul(y, y)

    (first, s, _), _ = beside(MATRICES, wide)
    np.testing.assert_array_equal(s, expected[1])
    np.testing.assert_array_equal(first, expected[0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes(dtype):
    found = lamina.function(ops.inv)(ops.cast(MATRICES, dtype))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, ops.inv(ops.cast(MATRICES, dtype)))


def test_inside_a_loop():
    def body(carried, x):
        following = ops.solve(x, carried)
        return following, ops.det(x)

    @lamina.function
    def chained(start, xs):
        return ops.scan(body, start, xs)

    last, determinants = chained(np.ones((4, 1), "float32"), MATRICES)
    expected = np.ones((4, 1))
    for matrix in MATRICES:
        expected = np.linalg.solve(matrix, expected)
    np.testing.assert_allclose(last, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(determinants, np.linalg.det(MATRICES), rtol=1e-5)


class Whitened(lamina.Model):
    """Trains through a Cholesky factor and a system of equations."""

    def __init__(self):
        super().__init__()
        self.out = layers.Dense(1)

    def call(self, x):
        factor = ops.cholesky(ops.matmul(ops.transpose(x), x) / x.shape[0] + 0.1 * ops.eye(3))
        return self.out(ops.transpose(ops.solve_triangular(factor, ops.transpose(x), lower=True)))


def test_training_through_a_call():
    lamina.utils.set_random_seed(0)
    x = rng.normal(size=(64, 3)).astype("float32")
    histories = []
    for backend in ("cpu", "reference"):
        lamina.utils.set_random_seed(0)
        model = Whitened()
        model.compile(lamina.optimizers.SGD(0.1), "mse", backend=backend)
        histories.append(model.fit(x, x[:, :1], epochs=5, verbose=0).history["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-4)
    assert histories[0][-1] < 0.2 * histories[0][0]


def test_an_error_ends_the_step_and_changes_nothing(monkeypatch):
    def fails(x):
        raise ZeroDivisionError("from inside of a step")

    count = lamina.Variable(0.0)

    @lamina.function
    def step(x):
        count.assign(count + 1)
        return ops.det(x)

    step(MATRICES)
    monkeypatch.setitem(host.HOST, "det", fails)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="inside of a step"):
            step(MATRICES)
    assert float(count) == 1
    monkeypatch.undo()
    step(MATRICES)
    assert float(count) == 2


def test_matrices_without_an_answer_give_nan():
    matrices = MATRICES.copy()
    matrices[2] = -np.eye(4)
    for call in (ops.cholesky, lamina.function(ops.cholesky)):
        found = call(ops.matmul(matrices, np.swapaxes(matrices, 1, 2)) * np.sign(matrices[:, :1, :1]))
        assert [bool(np.isnan(entry).all()) for entry in found] == [number == 2 for number in range(6)]


def test_several_threads_call_at_once():
    expected = mixture(MATRICES)[1]
    results = []
    threads = [threading.Thread(target=lambda: results.append(mixture(MATRICES)[1])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(result, expected) for result in results)
