"""Update rules: twenty steps beside real Keras, eager beside traced, and the size of the traced graph."""

import re

import numpy as np
import pytest

from lamina import constraints, optimizers
from lamina.core.tree import flatten
from lamina.ir import Graph, Trace
from lamina.optimizers import schedules
from lamina.variables import Variable

STEPS = 20

CASES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.8, "nesterov": True}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"clipnorm": 0.5}),
    ("SGD", {"clipvalue": 0.3}),
    ("SGD", {"global_clipnorm": 1.0}),
    ("SGD", {"use_ema": True, "ema_momentum": 0.5}),
    ("SGD", {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3}),
    ("SGD", {"loss_scale_factor": 4.0}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.5}),
    ("RMSprop", {"centered": True, "rho": 0.8}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "epsilon": 1e-3, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1}),
    ("Adam", {"weight_decay": 0.05, "global_clipnorm": 0.7}),
    ("Adam", {"use_ema": True, "ema_overwrite_frequency": 5, "clipvalue": 0.2}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.3, "amsgrad": True, "clipnorm": 1.0}),
    ("Adamax", {}),
    ("Adamax", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1, "weight_decay": 0.05, "clipvalue": 0.5}),
    ("Nadam", {}),
    ("Nadam", {"beta_1": 0.6, "beta_2": 0.8, "use_ema": True, "clipnorm": 0.5}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.0, "weight_decay": 0.1, "global_clipnorm": 2.0}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.5, "epsilon": 1e-2, "loss_scale_factor": 3.0}),
    ("Adafactor", {}),
    ("Adafactor", {"beta_2_decay": -0.5, "epsilon_2": 0.1, "clip_threshold": 0.5, "relative_step": False}),
    ("Ftrl", {}),
    ("Ftrl", {"l1_regularization_strength": 0.1, "l2_regularization_strength": 0.2, "beta": 0.5}),
    ("Ftrl", {"learning_rate_power": -0.7, "l2_shrinkage_regularization_strength": 0.1}),
    ("Lamb", {}),
    ("Lamb", {"beta_2": 0.9, "weight_decay": 0.1, "use_ema": True, "ema_overwrite_frequency": 4}),
    ("Lion", {}),
    ("Lion", {"beta_1": 0.5, "beta_2": 0.7, "weight_decay": 0.1, "global_clipnorm": 1.0}),
    ("Muon", {}),
    ("Muon", {"nesterov": False, "ns_steps": 3, "weight_decay": None, "adam_lr_ratio": 0.3}),
    ("Muon", {"exclude_layers": ["_0"], "rms_rate": None, "adam_weight_decay": 0.1, "clipnorm": 1.0}),
    ("Muon", {"rms_rate": None, "weight_decay": 0.2, "adam_weight_decay": None}),
    ("ScheduleFreeAdamW", {}),
    ("ScheduleFreeAdamW", {"warmup_steps": 7, "weight_decay": 0.1, "beta_1": 0.7}),
]
ACCUMULATING = [
    ("SGD", {"momentum": 0.9, "gradient_accumulation_steps": 3, "weight_decay": 0.01}),
    ("Adam", {"gradient_accumulation_steps": 2, "global_clipnorm": 0.5, "use_ema": True}),
    ("Nadam", {"gradient_accumulation_steps": 3, "weight_decay": 0.1}),
    ("Ftrl", {"gradient_accumulation_steps": 2, "clipvalue": 0.3}),
    ("Muon", {"gradient_accumulation_steps": 2}),
]


def identify(value):
    return (
        str(value)
        if not isinstance(value, dict)
        else ",".join(f"{k}={v}" for k, v in value.items()) or "plain"
    )


def start(rng):
    """Initial weights and, for each step, their gradients; the last weight gets large and zero gradients."""
    weights = [rng.normal(0, 1, (3, 4)), rng.normal(0, 1, (4,)), np.array(0.5)]
    gradients = [[rng.normal(0, 1, w.shape) for w in weights] for _ in range(STEPS)]
    for number, row in enumerate(gradients):
        row[2] = row[2] * (0.0 if number % 3 else 1e3)
    return (
        [w.astype(np.float32) for w in weights],
        [[np.asarray(g, np.float32) for g in row] for row in gradients],
    )


def make_variables(weights, variable_class=Variable):
    return [variable_class(w, name=f"weight_{number}") for number, w in enumerate(weights)]


def make_pair(name, options, real_keras, learning_rate=0.05):
    ours = getattr(optimizers, name)(learning_rate, name="tested", **options)
    theirs = getattr(real_keras.optimizers, name)(learning_rate, name="tested", **options)
    return ours, theirs


def assert_close_to_keras(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), np.asarray(other), rtol=2e-5, atol=2e-6, err_msg=mine.path)


@pytest.mark.parametrize(("name", "options"), CASES + ACCUMULATING, ids=identify)
def test_steps_are_those_of_keras(name, options, rng, real_keras):
    weights, gradients = start(rng)
    ours, theirs = make_pair(name, options, real_keras)
    our_variables, their_variables = make_variables(weights), make_variables(weights, real_keras.Variable)
    for row in gradients[: 7 if "gradient_accumulation_steps" in options else STEPS]:
        ours.apply(row, our_variables)
        theirs.apply([real_keras.ops.convert_to_tensor(g) for g in row], their_variables)
    assert_close_to_keras(our_variables, their_variables)
    # Keras gives no name to the one scalar of Nadam, and no path to the placeholders of Adafactor.
    given = [re.sub(r"/variable\w*", "/momentum_product", v.path) for v in theirs.variables]
    assert [v.path for v in ours.variables] == [f"tested/{path.split('/')[-1]}" for path in given]
    assert_close_to_keras(ours.variables, theirs.variables)
    assert int(ours.iterations) == int(theirs.iterations)
    ours.finalize_variable_values(our_variables)
    theirs.finalize_variable_values(their_variables)
    assert_close_to_keras(our_variables, their_variables)


@pytest.mark.parametrize(("name", "options"), CASES + ACCUMULATING, ids=identify)
def test_traced_is_eager(name, options, rng, run_traced):
    weights, gradients = start(rng)
    schedule = schedules.ExponentialDecay(0.05, 5, 0.7)
    eager, traced = (getattr(optimizers, name)(schedule, name="tested", **options) for _ in range(2))
    eager_variables, traced_variables = make_variables(weights), make_variables(weights)
    for variables in (eager_variables, traced_variables):
        variables[0].constraint = constraints.MaxNorm(1.5)
    for row in gradients[:7]:
        eager.apply(row, eager_variables)
        run_traced(lambda *tensors: traced.apply(tensors, traced_variables), *row)
    for one, other in zip(
        eager_variables + eager.variables, traced_variables + traced.variables, strict=True
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    assert int(traced.variables[0]) == 7


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_constraints_are_applied_after_the_update(name, rng, real_keras):
    weights, gradients = start(rng)
    ours, theirs = make_pair(name, {"use_ema": True}, real_keras)
    our_variables, their_variables = make_variables(weights), make_variables(weights, real_keras.Variable)
    our_variables[0].constraint = constraints.UnitNorm(axis=1)
    their_variables[0].constraint = real_keras.constraints.UnitNorm(axis=1)
    for row in gradients[:5]:
        ours.apply(row, our_variables)
        theirs.apply([real_keras.ops.convert_to_tensor(g) for g in row], their_variables)
    assert_close_to_keras(our_variables + ours.variables, their_variables + theirs.variables)


@pytest.mark.parametrize("excluded", [{"var_names": ["_1", "nothing"]}, {"var_list": [0, 2]}], ids=identify)
def test_excluded_variables_do_not_decay(excluded, rng, real_keras):
    weights, gradients = start(rng)
    ours, theirs = make_pair("AdamW", {"weight_decay": 0.5}, real_keras)
    our_variables, their_variables = make_variables(weights), make_variables(weights, real_keras.Variable)
    for optimizer, variables in ((ours, our_variables), (theirs, their_variables)):
        chosen = (
            {"var_list": [variables[i] for i in excluded["var_list"]]} if "var_list" in excluded else excluded
        )
        optimizer.exclude_from_weight_decay(**chosen)
    for row in gradients[:5]:
        ours.apply(row, our_variables)
        theirs.apply([real_keras.ops.convert_to_tensor(g) for g in row], their_variables)
    assert_close_to_keras(our_variables, their_variables)


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}], ids=identify)
def test_overwritten_variables_take_their_gradient(options, rng):
    weights, gradients = start(rng)
    variables = make_variables(weights)
    variables[1].overwrite_with_gradient = True
    optimizer = optimizers.Adam(**options)
    optimizer.apply(gradients[0], variables)
    if not options:
        np.testing.assert_array_equal(variables[1].numpy(), gradients[0][1])
        return
    np.testing.assert_array_equal(variables[1].numpy(), weights[1])
    optimizer.apply(gradients[1], variables)
    np.testing.assert_array_equal(
        variables[1].numpy(), np.maximum(np.maximum(0, gradients[0][1]), gradients[1][1])
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam"])
def test_weights_of_other_dtypes(name, dtype):
    variable = Variable([1.0, -2.0], dtype=dtype)
    optimizer = getattr(optimizers, name)(0.1)
    for _ in range(3):
        optimizer.apply([np.array([1.0, -1.0], np.float32)], [variable])
    assert {v.dtype for v in optimizer.variables[2:]} <= {dtype}
    moved = np.array([1.0, -2.0]) - variable.numpy().astype(np.float64)
    steps = {"SGD": [0.1] * 3, "RMSprop": 0.1 / np.sqrt(1 - 0.9 ** np.arange(1, 4)), "Adam": [0.1] * 3}[name]
    expected = np.array([1.0, -1.0]) * np.sum(steps)
    # The weights, which are below 2, are rounded to their dtype after each step.
    rounding = {"float16": 3 * 2.0**-10, "bfloat16": 3 * 2.0**-7, "float64": 1e-6}[dtype]
    np.testing.assert_allclose(moved, expected, rtol=0, atol=rounding)


def count_primitives(optimizer, shapes):
    """(primitives of the whole update, those among them on scalars)."""
    variables = [Variable(np.ones(shape, np.float32), name=f"w{i}") for i, shape in enumerate(shapes)]
    optimizer.build(variables)
    with Trace() as trace:
        gradients = [trace.input(f"g{i}", shape, "float32") for i, shape in enumerate(shapes)]
        optimizer.apply(gradients)
    graph = Graph((*trace.state_inputs, *trace.inputs), tuple(value for _, value in trace.updates()))
    nodes = [n for n in graph.nodes() if n.primitive.name not in ("input", "constant", "broadcast")]
    return len(nodes), sum(all(t.shape == () for t in node.types) for node in nodes)


def test_the_graph_of_adam_is_as_small_as_its_formula():
    """12 operations on each weight; the bias corrections are computed once for all of them."""
    one, one_scalar = count_primitives(optimizers.Adam(), [(5,)])
    three, three_scalar = count_primitives(optimizers.Adam(), [(5,), (6, 7), (8,)])
    assert one - one_scalar == 12
    assert three - three_scalar == 36
    assert one_scalar == three_scalar <= 11


@pytest.mark.parametrize(
    ("name", "options", "each"),
    [("SGD", {}, 2), ("SGD", {"momentum": 0.9}, 4), ("RMSprop", {}, 9), ("AdamW", {}, 15)],
    ids=identify,
)
def test_the_graphs_of_the_others_are_small_too(name, options, each):
    total, scalar = count_primitives(getattr(optimizers, name)(**options), [(5,), (6, 7)])
    assert total - scalar == 2 * each


def test_accumulation_selects_only_what_changes():
    optimizer = optimizers.SGD(momentum=0.9, gradient_accumulation_steps=4)
    variables = [Variable(np.ones(3, np.float32))]
    optimizer.build(variables)
    with Trace() as trace:
        optimizer.apply([trace.input("g", (3,), "float32")])
    changed = [trace.states[position].name for position, _ in trace.updates()]
    assert len(changed) == 4
    assert "learning_rate" not in changed


def test_stateless_apply_changes_nothing(rng, run_traced):
    weights, gradients = start(rng)
    variables, twins = make_variables(weights), make_variables(weights)
    optimizer, twin = optimizers.Adam(), optimizers.Adam()
    optimizer.build(variables)
    state = [v.numpy() for v in optimizer.variables]
    new_weights, new_state = optimizer.stateless_apply(state, gradients[0], weights)
    for variable, before in zip(variables + optimizer.variables, weights + state, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)
    twin.apply(gradients[0], twins)
    for value, variable in zip([*new_weights, *new_state], twins + twin.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())

    def step(*tensors):
        return flatten(optimizer.stateless_apply(state, tensors, weights))

    for value, variable in zip(run_traced(step, *gradients[0]), twins + twin.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


def test_the_learning_rate_can_be_changed_between_steps():
    variable = Variable([0.0])
    optimizer = optimizers.SGD(0.5)
    optimizer.apply([np.array([-1.0], np.float32)], [variable])
    optimizer.learning_rate = 0.25
    optimizer.apply([np.array([-1.0], np.float32)], [variable])
    optimizer.learning_rate = schedules.PiecewiseConstantDecay([2], [2.0, 1.0])
    optimizer.apply([np.array([-1.0], np.float32)], [variable])
    optimizer.apply([np.array([-1.0], np.float32)], [variable])
    assert variable.numpy().tolist() == [0.5 + 0.25 + 2.0 + 1.0]
    assert [v.name for v in optimizer.variables] == ["iteration"]
