"""Every op against real Keras: values, shapes and dtypes; and traced against eager."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from op_samples import ROWS

from lamina import ops
from lamina.core import tree
from lamina.interp import Array, run_graph
from lamina.ir.graph import Graph
from lamina.ir.trace import Trace, current
from lamina.ops import OPS
from lamina.ops.convert import lift

CASES = [(name, position) for name in ROWS for position in range(len(ROWS[name]))]


def arguments_of(name: str, position: int):
    sample = ROWS[name][position]
    return sample.build(np.random.default_rng(position)), sample


def leaves(result):
    return tree.flatten(result)


def same(found, expected, tolerance):
    found = np.asarray(found)
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype.name == expected.dtype.name
    if found.dtype == bool or found.dtype.kind in "iu":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(
            found.astype(np.float64), expected.astype(np.float64), rtol=tolerance, atol=tolerance
        )


def test_every_op_has_rows_and_every_row_an_op():
    assert set(ROWS) == set(OPS)


@pytest.mark.parametrize(("name", "position"), CASES, ids=lambda value: str(value))
def test_op_gives_what_keras_gives(name, position, real_keras):
    arguments, sample = arguments_of(name, position)
    result = OPS[name](*arguments, **sample.keywords)
    assert all(isinstance(leaf, Array) for leaf in leaves(result))
    if not sample.keras:
        return
    judge = getattr(real_keras.ops, "get_item" if name == "getitem" else name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = judge(*arguments, **sample.keywords)
    for found, wanted in zip(leaves(result), leaves(expected), strict=True):
        same(found, wanted, sample.tolerance)


@pytest.mark.parametrize(
    ("name", "position"),
    [case for case in CASES if ROWS[case[0]][case[1]].traced],
    ids=lambda value: str(value),
)
def test_traced_op_is_eager_op(name, position):
    arguments, sample = arguments_of(name, position)
    expected = OPS[name](*arguments, **sample.keywords)
    inputs = []
    with Trace() as trace:

        def traced(leaf):
            if not isinstance(leaf, np.ndarray) or leaf.dtype == object:
                return leaf
            inputs.append(leaf)
            return trace.input(f"x{len(inputs)}", leaf.shape, leaf.dtype.name)

        result = OPS[name](
            *tree.map_structure(traced, list(arguments)), **tree.map_structure(traced, sample.keywords)
        )
        outputs = tuple(lift(leaf).value for leaf in leaves(result))
    assert current() is None
    for found, wanted in zip(
        run_graph(Graph(tuple(trace.inputs), outputs), inputs), leaves(expected), strict=True
    ):
        same(found, wanted, 1e-6)


def test_names_are_keras_names(real_keras):
    ours = {name for name in ops.__all__ if name not in ("random", "result_type", "getitem")}
    assert [name for name in sorted(ours) if not hasattr(real_keras.ops, name)] == []
