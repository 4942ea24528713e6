"""Learning-rate schedules, against Keras, over the steps where something changes."""

import json

import numpy as np
import pytest

from lamina.core.errors import ArgumentError
from lamina.optimizers import schedules

ROWS = [
    ("ExponentialDecay", (0.1, 7, 0.5), {}),
    ("ExponentialDecay", (0.1, 7, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 7, 0.5), {}),
    ("InverseTimeDecay", (0.1, 7, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([3, 7, 8], [1.0, 0.5, 0.25, 0.125]), {}),
    ("PolynomialDecay", (0.1, 10), {}),
    ("PolynomialDecay", (0.1, 10), {"end_learning_rate": 0.02, "power": 2.0}),
    ("PolynomialDecay", (0.1, 7), {"power": 0.5, "cycle": True}),
    ("CosineDecay", (0.1, 10), {}),
    ("CosineDecay", (0.1, 10), {"alpha": 0.2}),
    ("CosineDecay", (0.1, 10), {"warmup_target": 1.0, "warmup_steps": 5, "alpha": 0.1}),
    ("CosineDecay", (0.0, 10), {"warmup_target": 1.0, "warmup_steps": 3}),
    ("CosineDecayRestarts", (0.1, 5), {}),
    ("CosineDecayRestarts", (0.1, 4), {"t_mul": 1.0, "m_mul": 0.5, "alpha": 0.1}),
    ("CosineDecayRestarts", (0.1, 4), {"t_mul": 1.5, "m_mul": 0.9, "alpha": 0.1}),
]
STEPS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16, 21, 40, 1000]
ids = [f"{name}-{number}" for number, (name, _, _) in enumerate(ROWS)]


@pytest.mark.parametrize(("name", "arguments", "options"), ROWS, ids=ids)
def test_rates_are_those_of_keras(name, arguments, options, real_keras, run_traced):
    ours = getattr(schedules, name)(*arguments, **options)
    theirs = getattr(real_keras.optimizers.schedules, name)(*arguments, **options)
    for step in STEPS:
        rate = ours(step)
        assert rate.shape == ()
        assert rate.dtype == np.float32
        expected = theirs(real_keras.ops.convert_to_tensor(np.int32(step)))
        np.testing.assert_allclose(rate, expected, rtol=3e-6, atol=3e-8, err_msg=f"step {step}")
    np.testing.assert_array_equal(run_traced(ours, np.array(6, np.int32)), ours(6))


@pytest.mark.parametrize(("name", "arguments", "options"), ROWS, ids=ids)
def test_configs_go_round_and_are_those_of_keras(name, arguments, options, real_keras):
    made = getattr(schedules, name)(*arguments, **options)
    theirs = getattr(real_keras.optimizers.schedules, name)(*arguments, **options)
    assert made.get_config() == theirs.get_config()
    back = schedules.deserialize(json.loads(json.dumps(schedules.serialize(made))))
    assert type(back) is type(made)
    assert back.get_config() == made.get_config()
    read = schedules.deserialize(json.loads(json.dumps(real_keras.optimizers.schedules.serialize(theirs))))
    assert read.get_config() == made.get_config()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: schedules.ExponentialDecay(0.1, 0, 0.5),
            "decay_steps of ExponentialDecay must be positive, got 0",
        ),
        (
            lambda: schedules.InverseTimeDecay(0.1, -1, 0.5),
            "decay_steps of InverseTimeDecay must be positive",
        ),
        (lambda: schedules.PolynomialDecay(0.1, 0), "decay_steps of PolynomialDecay must be positive"),
        (lambda: schedules.CosineDecay(0.1, 0), "decay_steps of CosineDecay must be positive"),
        (
            lambda: schedules.CosineDecayRestarts(0.1, 0),
            "first_decay_steps of CosineDecayRestarts must be positive",
        ),
        (lambda: schedules.PiecewiseConstantDecay([1], [1.0]), "one more value than boundaries"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1.0, 1.0, 1.0]), "must rise"),
        (lambda: schedules.deserialize("CosinDecay"), "did you mean 'CosineDecay'"),
    ],
)
def test_wrong_arguments(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


def test_a_schedule_must_say_what_it_is():
    class Empty(schedules.LearningRateSchedule):
        pass

    with pytest.raises(NotImplementedError, match="Empty must define __call__"):
        Empty()(0)
    with pytest.raises(NotImplementedError, match="Empty must define get_config"):
        Empty().get_config()


def test_every_name_of_keras_is_here(real_keras):
    public = {name for name in vars(real_keras.optimizers.schedules) if not name.startswith("_")}
    assert public - set(vars(schedules)) == set()
