"""LossScaleOptimizer and MultiOptimizer: against Keras, in training, and what they refuse."""

import json
import re

import numpy as np
import pytest

import lamina
from lamina import optimizers
from lamina.core.errors import ArgumentError, NonFiniteError, StateError
from lamina.variables import Variable

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def rows(rng, steps, nonfinite=()):
    for step in range(steps):
        row = [rng.normal(size=(3, 2)).astype("float32"), rng.normal(size=2).astype("float32")]
        if step in nonfinite:
            row[1][0] = np.inf if step % 2 else np.nan
        yield row


def starting(variable_class):
    return [
        variable_class(np.arange(6, dtype="float32").reshape(3, 2), name="kernel"),
        variable_class(np.ones(2, "float32"), name="bias"),
    ]


def assert_alike(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), np.asarray(other), rtol=2e-5, atol=2e-6, err_msg=mine.path)


def test_the_scale_follows_the_gradients_as_in_keras(rng, real_keras, run_traced):
    def make(package):
        inner = package.optimizers.Adam(0.1, name="inner", use_ema=True, clipnorm=1.0)
        return package.optimizers.LossScaleOptimizer(inner, 64.0, dynamic_growth_steps=3, name="outer")

    ours, traced, theirs = make(lamina), make(lamina), make(real_keras)
    variables, traced_variables = starting(Variable), starting(Variable)
    their_variables = starting(real_keras.Variable)
    theirs.build(their_variables)
    for row in rows(rng, 12, nonfinite=(4, 5, 9)):
        ours.apply([64.0 * g for g in row], variables)
        traced.build(traced_variables)
        run_traced(lambda *gs: traced.apply([64.0 * g for g in gs], traced_variables), *row)
        states = [*their_variables, *theirs.variables]
        new_weights, new_states = theirs.stateless_apply(
            [variable.value for variable in theirs.variables],
            [real_keras.ops.convert_to_tensor(64.0 * g) for g in row],
            [variable.value for variable in their_variables],
        )
        for variable, value in zip(states, [*new_weights, *new_states], strict=True):
            variable.assign(value)
        assert float(ours.dynamic_scale) == float(theirs.dynamic_scale)
        assert int(ours.step_counter) == int(theirs.step_counter)
    assert int(ours.iterations) == int(theirs.iterations) == 9
    assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]
    assert_alike(variables + ours.variables, their_variables + theirs.variables)
    for one, other in zip(variables + ours.variables, traced_variables + traced.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    ours.finalize_variable_values(variables)
    theirs.finalize_variable_values(their_variables)
    assert_alike(variables, their_variables)


def overflowing_model(optimizer):
    """The gradient of its one weight is 1000, in float16 and of 4 rows: finite for scales of up to 256."""
    model = lamina.Sequential(
        [lamina.Input((1,)), lamina.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    cast = lamina.ops.cast
    model.compile(optimizer, lambda y, y_pred: cast(cast(y_pred, "float16") * 1000.0, "float32"))
    return model


@pytest.mark.parametrize("eagerly", [False, True])
def test_training_skips_the_steps_that_overflow(eagerly):
    optimizer = optimizers.LossScaleOptimizer(optimizers.SGD(0.001), dynamic_growth_steps=4)
    model = overflowing_model(optimizer)
    model.run_eagerly = eagerly
    x = np.ones((60, 1), "float32")
    model.fit(x, x, batch_size=4, verbose=0)
    # Of 15 steps those at 2**15, ..., 2**9 overflow (7), at 2**8 four fit, at 2**9 none, at 2**8 three.
    assert float(optimizer.dynamic_scale) == 2.0**8
    assert int(optimizer.step_counter) == 3
    assert int(optimizer.iterations) == 7
    np.testing.assert_allclose(model.get_weights()[0], -7.0, rtol=1e-6)


def test_a_gradient_that_no_scale_saves_is_an_error():
    model = lamina.Sequential([lamina.Input((1,)), lamina.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(
        optimizers.LossScaleOptimizer(optimizers.SGD(0.1), initial_scale=4.0),
        lambda y, y_pred: lamina.ops.sqrt(lamina.ops.square(y_pred)),
    )
    before = model.get_weights()
    with pytest.raises(NonFiniteError, match=r"Epoch 1, step 3: a gradient, at a loss scale of 1, is NaN"):
        model.fit(np.ones((20, 1)), np.ones((20, 1)), batch_size=2, verbose=0)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_each_variable_has_its_own_optimizer(rng, real_keras):
    def make(package):
        of = package.optimizers
        chosen = of.OptimizerMap(of.SGD(0.1, name="default"), {".*kern.*": of.Adam(0.01, name="kernels")})
        return of.MultiOptimizer(chosen, loss_scale_factor=2.0, name="several")

    ours, theirs = make(lamina), make(real_keras)
    variables, their_variables = starting(Variable), starting(real_keras.Variable)
    for row in rows(rng, 5):
        ours.apply(row, variables)
        theirs.apply([real_keras.ops.convert_to_tensor(g) for g in row], their_variables)
    assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]
    assert_alike(variables + ours.variables, their_variables + theirs.variables)
    assert [each.name for each in ours.optimizers] == ["kernels", "default"]
    assert ours.scale_loss(3.0) == 6.0
    assert not hasattr(ours, "learning_rate")


def test_a_model_trains_with_several_optimizers(rng):
    def trained(optimizer):
        lamina.utils.set_random_seed(1)
        model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(3), lamina.layers.Dense(1)])
        model.compile(optimizer, "mse")
        data = np.random.default_rng(0)
        model.fit(
            data.normal(size=(32, 4)), data.normal(size=(32, 1)), batch_size=8, shuffle=False, verbose=0
        )
        return model.get_weights()

    by_rank = {1: optimizers.SGD(0.0), 2: optimizers.Adam(0.01)}
    several = trained(optimizers.MultiOptimizer(lambda variable: by_rank[variable.ndim]))
    np.testing.assert_array_equal(several[1], np.zeros(3))
    changed = optimizers.MultiOptimizer(lambda variable: by_rank[variable.ndim])
    assert changed.update_rule()[0] is changed
    everything = trained(optimizers.Adam(0.01))
    assert not np.array_equal(several[0], everything[0])


def test_configs_go_round_and_are_those_of_keras(real_keras):
    def make(package):
        of = package.optimizers
        chosen = of.OptimizerMap(of.SGD(0.5, name="s"), {"a/.*": of.Adam(0.25, name="a")})
        return of.LossScaleOptimizer(of.MultiOptimizer(chosen, name="m"), 8.0, 5, name="l")

    made, theirs = make(lamina), make(real_keras)
    description = json.loads(json.dumps(optimizers.serialize(made)))
    expected = json.dumps(real_keras.optimizers.serialize(theirs))
    assert description == json.loads(re.sub(r"keras\.", "lamina.", expected))
    for text in (description, json.loads(expected)):
        back = optimizers.get(text)
        assert back.get_config() == made.get_config()
        assert [each.name for each in back.inner_optimizer.optimizers] == ["a", "s"]


def test_state_goes_round(rng):
    def make():
        return optimizers.LossScaleOptimizer(optimizers.Nadam(0.1))

    one, other = make(), make()
    variables, twins = starting(Variable), starting(Variable)
    for row in rows(rng, 3):
        one.apply(row, variables)
    other.build(twins)
    store = {}
    one.save_own_variables(store)
    other.load_own_variables(store)
    for variable, twin in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), twin.numpy())
    other.set_weights([np.zeros(v.shape) for v in other.variables])
    assert float(other.dynamic_scale) == 0.0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: optimizers.LossScaleOptimizer("adam", clipnorm=1.0), "give clipnorm to the inner"),
        (lambda: optimizers.LossScaleOptimizer("adam", dynamic=False), "cannot have dynamic=False"),
        (lambda: optimizers.LossScaleOptimizer("adam", speed=1), "has no argument 'speed'"),
        (lambda: optimizers.LossScaleOptimizer(None), "needs an optimizer"),
        (lambda: optimizers.LossScaleOptimizer("adam", initial_scale=0), "must be positive"),
        (lambda: optimizers.MultiOptimizer({"a": optimizers.SGD()}), "must be an OptimizerMap"),
        (lambda: optimizers.OptimizerMap("sgd"), "must be an Optimizer object"),
        (lambda: optimizers.OptimizerMap(optimizers.SGD(), ["a"]), "must be a dict"),
        (lambda: optimizers.OptimizerMap(optimizers.SGD(), {"a": "sgd"}), "for 'a' is no Optimizer"),
        (lambda: optimizers.OptimizerMap(optimizers.SGD(), {1: optimizers.SGD()}), "are strings"),
        (
            lambda: optimizers.OptimizerMap(optimizers.SGD(), {"a": optimizers.LossScaleOptimizer("adam")}),
            "cannot be a LossScaleOptimizer",
        ),
        (
            lambda: optimizers.OptimizerMap(
                optimizers.SGD(), {"a.*": optimizers.SGD(), ".*b": optimizers.SGD()}
            )["aab"],
            "Several entries of the OptimizerMap match 'aab'",
        ),
        (
            lambda: optimizers.MultiOptimizer(lambda variable: "sgd").build(starting(Variable)),
            "for 'kernel' is no Optimizer",
        ),
    ],
)
def test_wrong_arguments(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


def test_an_entry_is_not_overwritten():
    chosen = optimizers.OptimizerMap(optimizers.SGD())
    chosen["a"] = optimizers.Adam()
    with pytest.raises(ArgumentError, match="has an entry 'a' already"):
        chosen["a"] = optimizers.SGD()
    del chosen["a"]
    assert list(chosen) == []
    assert len(chosen) == 0
    with pytest.raises(StateError, match="keeps no averages"):
        optimizers.Adam().averaged()
