"""Every op against real Keras: values, shapes and dtypes; and traced against eager."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from op_samples import ROWS

from lamina import ops
from lamina.core import tree
from lamina.interp import Array, run_graph
from lamina.ir.graph import Graph
from lamina.ir.trace import Trace
from lamina.ops import OPS
from lamina.ops.convert import lift


def calls(name):
    """(label, arguments, row) of every row of an op; arguments are made anew for each call."""
    for position, sample in enumerate(ROWS[name]):
        yield f"{name} row {position}", sample.build(np.random.default_rng(position)), sample


def leaves(result):
    return tree.flatten(result)


def same(found, expected, tolerance, label):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, label
    assert found.dtype.name == expected.dtype.name, label
    if found.dtype.kind in "biu":
        np.testing.assert_array_equal(found, expected, label)
    else:
        wide, target = found.astype(np.float64), expected.astype(np.float64)
        np.testing.assert_allclose(wide, target, rtol=tolerance, atol=tolerance, err_msg=label)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """What Keras on NumPy gives: {(op, row): arrays}."""
    path = tmp_path_factory.mktemp("keras") / "judged.pickle"
    program = Path(__file__).with_name("keras_judge.py")
    subprocess.run([sys.executable, str(program), str(path)], check=True)
    return pickle.loads(path.read_bytes())


def expected_of(name, position, arguments, sample, judged, real_keras):
    if sample.judge == "numpy":
        return in_pairs(judged[name, position])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function = getattr(real_keras.ops, name, None) or getattr(real_keras.ops.image, name)
        return in_pairs(leaves(function(*arguments, **sample.keywords)))


def in_pairs(expected):
    """Complex results as Lamina gives them: two arrays each."""
    if isinstance(expected, str):
        return expected
    arrays = [np.asarray(leaf) for leaf in expected]
    return [part for x in arrays for part in ((x.real, x.imag) if x.dtype.kind == "c" else (x,))]


def test_every_op_has_rows_and_every_row_an_op():
    # lamina.random makes ops of its own; they are tested with it.
    assert set(ROWS) == {name for name, op in OPS.items() if op.__module__.startswith("lamina.ops")}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_op_gives_what_keras_gives(name, judged, real_keras):
    for position, (label, arguments, sample) in enumerate(calls(name)):
        result = leaves(OPS[name](*arguments, **sample.keywords))
        assert all(isinstance(leaf, Array) for leaf in result), label
        if sample.judge is None:
            continue
        expected = expected_of(name, position, arguments, sample, judged, real_keras)
        assert not isinstance(expected, str), f"{label}: {expected}"
        for found, wanted in zip(result, expected, strict=True):
            same(found, wanted, sample.tolerance, label)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_traced_op_is_eager_op(name):
    for label, arguments, sample in calls(name):
        if not sample.traced:
            continue
        expected = OPS[name](*arguments, **sample.keywords)
        graph, inputs = traced(name, arguments, sample)
        for found, wanted in zip(run_graph(graph, inputs), leaves(expected), strict=True):
            same(found, wanted, 1e-6, label)


def traced(name, arguments, sample):
    """The graph of a call in which every array is an input, and those arrays."""
    inputs = []
    with Trace() as trace:

        def as_input(leaf):
            if not isinstance(leaf, np.ndarray):
                return leaf
            inputs.append(leaf)
            return trace.input(f"x{len(inputs)}", leaf.shape, leaf.dtype.name)

        arguments, keywords = tree.map_structure(as_input, [list(arguments), dict(sample.keywords)])
        result = OPS[name](*arguments, **keywords)
        outputs = tuple(lift(leaf).value for leaf in leaves(result))
    return Graph(tuple(trace.inputs), outputs), inputs


def test_names_are_keras_names(real_keras):
    ours = {name for name in ops.__all__ if name not in ("random", "result_type", "getitem")}
    assert [name for name in sorted(ours) if not hasattr(real_keras.ops, name)] == []


@pytest.mark.parametrize("space", ["image", "nn", "numpy", "linalg"])
def test_namespaces_are_those_of_keras(space, real_keras):
    ours, theirs = getattr(ops, space), getattr(real_keras.ops, space)
    known = OPS if space == "image" else ops.__all__
    here = {name for name in ours.__all__ if callable(getattr(ours, name))}
    there = {name for name in dir(theirs) if callable(getattr(theirs, name)) and name in known}
    assert here == there
