"""Evaluation of primitives and graphs, and the habits of the eager Array."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from lamina import ops
from lamina.core.errors import DTypeError, ShapeError
from lamina.interp import Array, run_graph, walk
from lamina.interp.philox import philox2x32
from lamina.ir import primitives as p
from lamina.ir.graph import Graph
from lamina.ir.trace import Trace

# Random123's known answers for philox2x32: rounds, counter words, key, output words.
KNOWN_ANSWERS = [
    (7, (0x00000000, 0x00000000), 0x00000000, (0x257A3673, 0xCD26BE2A)),
    (7, (0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF, (0xAB302C4D, 0x3DC9D239)),
    (7, (0x243F6A88, 0x85A308D3), 0x13198A2E, (0xBEDBBE6B, 0xE4C770B3)),
    (10, (0x00000000, 0x00000000), 0x00000000, (0xFF1DAE59, 0x6CD10DF2)),
    (10, (0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
    (10, (0x243F6A88, 0x85A308D3), 0x13198A2E, (0xDD7CE038, 0xF62A4C12)),
]


@pytest.mark.parametrize(("rounds", "counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers(rounds, counter, key, expected):
    assert tuple(int(word) for word in philox2x32(counter, key, rounds)) == expected


def test_random_bits_count_elements_in_the_first_counter_word():
    bits = p.random_bits(np.array([0x13198A2E, 0x85A308D3], np.uint32), shape=(2, 3))
    expected = [int(philox2x32((element, 0x85A308D3), 0x13198A2E)[0]) for element in range(6)]
    assert bits.ravel().tolist() == expected


def test_half_precision_is_rounded_once_at_the_end():
    ones = np.ones(4096, np.float16)
    assert p.reduce_sum(ones, axes=(0,)) == 4096  # 2048 + 1 is 2048 in float16
    assert p.cumulative_sum(ones, axis=0, reverse=False)[3000] == 3001 - 3001 % 2
    huge = np.float16([60000.0])
    assert p.subtract(p.add(huge, huge), huge).dtype == np.float16


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.nan, 0),
        (np.inf, 127),
        (-np.inf, -128),
        (127.9, 127),
        (128.0, 127),
        (-128.9, -128),
        (2.7, 2),
        (-2.7, -2),
    ],
)
def test_cast_of_floats_saturates(value, expected):
    assert int(p.cast(np.float32(value), dtype="int8")) == expected


def test_eager_primitives_are_as_strict_as_traced_ones():
    with pytest.raises(ShapeError):
        p.add(np.ones(3, np.float32), np.ones(1, np.float32))
    with pytest.raises(DTypeError):
        p.add(np.ones(3, np.float32), np.ones(3, np.int32))
    with pytest.raises(ShapeError, match="no elements to take"):
        p.gather(np.ones((0, 2), np.float32), np.int32([0]), axis=0)


# --- Array -----------------------------------------------------------------------------------------


def test_results_without_axes_stay_arrays():
    total = p.reduce_sum(np.ones(3, np.float32), axes=(0,))
    assert isinstance(total, Array)
    assert total.shape == ()
    assert float(total) == 3.0
    assert type(total.numpy()) is np.ndarray
    assert isinstance(ops.convert_to_tensor([1.0, 2.0])[0], Array)
    assert float(ops.convert_to_tensor([[7.0]])) == 7.0


def test_numpy_shares_memory():
    x = ops.convert_to_tensor(np.ones(3, np.float32))
    x.numpy()[0] = 5
    assert float(x[0]) == 5


def test_operators_follow_the_dtype_rule_of_ops_and_not_numpys():
    x = ops.convert_to_tensor(np.array([1, 2], np.int32))
    assert (x * 0.5).dtype == np.float32
    assert (2.0 / x).dtype == np.float32
    assert (np.ones(2, np.float32) * x).dtype == np.float32
    assert (x + ops.convert_to_tensor([0.5, 0.5])).dtype == np.float32
    assert (x // 0).tolist() == [0, 0]


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"])
def test_operators_in_place_leave_the_callers_data_alone(name):
    data = np.array([4.0, 9.0], np.float32)
    x = ops.convert_to_tensor(data)
    y = getattr(x, f"__i{name}__")(2.0)
    np.testing.assert_array_equal(y, getattr(data, f"__{name}__")(np.float32(2.0)))
    assert data.tolist() == [4.0, 9.0]


# --- graphs ----------------------------------------------------------------------------------------


def traced(function, *arrays):
    with Trace() as trace:
        tensors = [trace.input(f"x{i}", array.shape, array.dtype.name) for i, array in enumerate(arrays)]
        result = function(*tensors)
    return Graph(tuple(trace.inputs), tuple(tensor.value for tensor in result))


def test_run_graph_gives_every_output_also_inputs_and_constants():
    x = np.arange(3, dtype=np.float32)
    graph = traced(lambda t: (t, t + 1, ops.zeros(2), *ops.top_k(t, 2)), x)
    found = run_graph(graph, [x])
    expected = [x, x + 1, np.zeros(2), [2, 1], [2, 1]]
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_run_graph_refuses_arrays_that_do_not_fit():
    graph = traced(lambda t: (t,), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="takes 1 inputs"):
        run_graph(graph, [])
    with pytest.raises(ValueError, match=r"Input 0 of the graph is float32\[3\]"):
        run_graph(graph, [np.zeros(3)])


def test_walk_finds_the_first_value_that_is_not_finite():
    x = np.array([1.0, 0.0], np.float32)
    graph = traced(lambda t: (ops.sum(ops.exp(ops.log(t)) * 2),), x)
    bad = [node.primitive.name for node, outputs in walk(graph, [x]) if not np.isfinite(outputs[0]).all()]
    assert bad[0] == "log"


def test_walk_forgets_values_after_their_last_use():
    x = np.ones(1000, np.float32)
    graph = traced(lambda t: (ops.exp(ops.exp(ops.exp(ops.exp(t)))),), x)
    alive = []
    for _, outputs in walk(graph, [x]):
        alive.append(weakref.ref(outputs[0]))
        del outputs
        gc.collect()
        assert sum(reference() is not None for reference in alive) <= 3
