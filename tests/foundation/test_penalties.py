"""Regularizers and constraints, against Keras."""

import json

import numpy as np
import pytest

from lamina import constraints, ops, regularizers
from lamina.core.errors import ArgumentError, ShapeError
from lamina.variables import Variable

REGULARIZERS = [
    ("L1", {}),
    ("L1", {"l1": 0.3}),
    ("L2", {}),
    ("L2", {"l2": 0.3}),
    ("L1L2", {}),
    ("L1L2", {"l1": 0.1}),
    ("L1L2", {"l2": 0.2}),
    ("L1L2", {"l1": 0.1, "l2": 0.2}),
    ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
]

CONSTRAINTS = [
    ("NonNeg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": 1}),
    ("UnitNorm", {"axis": [0, 1]}),
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.7, "axis": 1}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 1.5, "rate": 0.3, "axis": [0, 1]}),
    ("Constraint", {}),
]


@pytest.fixture
def weight(rng):
    return rng.normal(0, 1, (5, 3)).astype(np.float32)


@pytest.mark.parametrize(("name", "options"), REGULARIZERS, ids=str)
def test_penalties_are_those_of_keras(name, options, weight, real_keras, run_traced):
    ours, theirs = getattr(regularizers, name)(**options), getattr(real_keras.regularizers, name)(**options)
    penalty = ours(weight)
    assert penalty.shape == ()
    assert penalty.dtype == np.float32
    np.testing.assert_allclose(penalty, theirs(real_keras.ops.convert_to_tensor(weight)), rtol=1e-6)
    np.testing.assert_array_equal(ours(Variable(weight)), penalty)
    np.testing.assert_array_equal(run_traced(lambda x: ours(x) + ops.sum(x) * 0, weight), penalty)


@pytest.mark.parametrize(("name", "options"), CONSTRAINTS, ids=str)
def test_projections_are_those_of_keras(name, options, weight, real_keras, run_traced):
    ours, theirs = getattr(constraints, name)(**options), getattr(real_keras.constraints, name)(**options)
    projected = np.asarray(ours(weight))
    assert projected.dtype == np.float32
    np.testing.assert_allclose(projected, theirs(weight), rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(ours(Variable(weight))), projected)
    np.testing.assert_array_equal(run_traced(lambda w: ours(w) + 0.0, weight), projected + 0.0)


@pytest.mark.parametrize(
    ("face", "name", "options"),
    [("regularizers", *row) for row in REGULARIZERS] + [("constraints", *row) for row in CONSTRAINTS],
    ids=str,
)
def test_configs_go_round_and_read_those_of_keras(face, name, options, real_keras):
    rooms = {"regularizers": regularizers, "constraints": constraints}
    room, keras_room = rooms[face], getattr(real_keras, face)
    made = getattr(room, name)(**options)
    back = room.deserialize(json.loads(json.dumps(room.serialize(made))))
    assert type(back) is type(made)
    assert vars(back) == vars(made)
    theirs = json.loads(json.dumps(keras_room.serialize(getattr(keras_room, name)(**options))))
    read = vars(room.get(theirs))
    assert read.keys() == vars(made).keys()
    for option, value in vars(made).items():
        # Keras keeps some factors as float32.
        assert read[option] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    "name", ["l1", "l2", "l1l2", "L1L2", "orthogonal_regularizer", "OrthogonalRegularizer"]
)
def test_regularizers_by_name(name, real_keras):
    assert type(regularizers.get(name)).__name__ == type(real_keras.regularizers.get(name)).__name__


@pytest.mark.parametrize("name", ["max_norm", "min_max_norm", "non_neg", "unit_norm", "MaxNorm", "NonNeg"])
def test_constraints_by_name(name, real_keras):
    assert type(constraints.get(name)).__name__ == type(real_keras.constraints.get(name)).__name__


@pytest.mark.parametrize("face", ["regularizers", "constraints"])
def test_every_name_of_keras_is_here(face, real_keras):
    rooms = {"regularizers": regularizers, "constraints": constraints}
    public = {name for name in vars(getattr(real_keras, face)) if not name.startswith("_")}
    assert public - set(vars(rooms[face])) == set()


def test_other_identifiers():
    assert regularizers.get(None) is None
    assert type(regularizers.get(regularizers.L2)) is regularizers.L2
    assert regularizers.get(abs) is abs
    assert constraints.get(None) is None


def test_errors():
    for wrong in (-0.1, float("nan"), float("inf"), "0.1", True):
        with pytest.raises(ArgumentError, match="factor l1 of a penalty"):
            regularizers.L1(wrong)
    with pytest.raises(ArgumentError, match=r"Unknown mode 'row'[\s\S]*did you mean 'rows'"):
        regularizers.OrthogonalRegularizer(mode="row")
    with pytest.raises(ShapeError, match=r"works on matrices, got shape \(3,\)"):
        regularizers.OrthogonalRegularizer()(np.zeros(3))
    with pytest.raises(ArgumentError, match=r"Unknown regularizer 'l3'"):
        regularizers.get("l3")
    with pytest.raises(ArgumentError, match="largest norm cannot be -1"):
        constraints.MaxNorm(-1)
    with pytest.raises(ArgumentError, match=r"Norms between 2 and 1 do not exist"):
        constraints.MinMaxNorm(2, 1)
    with pytest.raises(ArgumentError, match=r"Unknown constraint 'nonneg_'[\s\S]*did you mean 'NonNeg'"):
        constraints.get("nonneg_")
