"""What every optimizer keeps: names, configs, saving, copies, subclasses, and clear refusals."""

import copy
import json
import pickle

import numpy as np
import pytest

from lamina import optimizers
from lamina.core.errors import ArgumentError, ShapeError, StateError
from lamina.core.serialization import register_serializable
from lamina.optimizers import schedules
from lamina.variables import Variable

OPTIONS = {
    "weight_decay": 0.01,
    "clipnorm": 1.0,
    "use_ema": True,
    "ema_momentum": 0.9,
    "ema_overwrite_frequency": 4,
    "loss_scale_factor": 2.0,
    "gradient_accumulation_steps": 2,
    "name": "mine",
}
ROWS = [
    ("SGD", {"learning_rate": 0.5, "momentum": 0.25, "nesterov": True}),
    ("RMSprop", {"learning_rate": 0.5, "rho": 0.5, "momentum": 0.25, "epsilon": 0.125, "centered": True}),
    ("Adam", {"learning_rate": 0.5, "beta_1": 0.25, "beta_2": 0.5, "epsilon": 0.125, "amsgrad": True}),
    ("AdamW", {"learning_rate": 0.5, "weight_decay": 0.5, "beta_1": 0.25}),
    ("Adamax", {"learning_rate": 0.5, "beta_1": 0.25, "beta_2": 0.5, "epsilon": 0.125}),
    ("Nadam", {"learning_rate": 0.5, "beta_1": 0.25, "beta_2": 0.5, "epsilon": 0.125}),
    ("Adagrad", {"learning_rate": 0.5, "initial_accumulator_value": 0.25, "epsilon": 0.125}),
    ("Adadelta", {"learning_rate": 0.5, "rho": 0.25, "epsilon": 0.125}),
    ("Adafactor", {"beta_2_decay": -0.5, "epsilon_2": 0.125, "clip_threshold": 0.5, "relative_step": False}),
    ("Ftrl", {"learning_rate_power": -0.25, "l1_regularization_strength": 0.5, "beta": 0.125}),
    ("Lamb", {"learning_rate": 0.5, "beta_1": 0.25, "beta_2": 0.5, "epsilon": 0.125}),
    ("Lion", {"learning_rate": 0.5, "beta_1": 0.25, "beta_2": 0.5}),
    ("Muon", {"exclude_layers": ["a", "b"], "muon_a": 3.0, "nesterov": False, "rms_rate": None}),
    ("ScheduleFreeAdamW", {"learning_rate": 0.5, "warmup_steps": 3, "beta_1": 0.25}),
]
NAMES = [name for name, _ in ROWS]


def gradient(*values):
    return np.array(values, np.float32)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(("name", "own"), ROWS, ids=NAMES)
def test_configs_go_round_and_are_those_of_keras(name, own, real_keras):
    made = getattr(optimizers, name)(**{**OPTIONS, **own})
    theirs = getattr(real_keras.optimizers, name)(**{**OPTIONS, **own})
    assert made.get_config() == theirs.get_config()
    description = json.loads(json.dumps(optimizers.serialize(made)))
    back = optimizers.deserialize(description)
    assert type(back) is type(made)
    assert back.get_config() == made.get_config()
    read = optimizers.get(json.loads(json.dumps(real_keras.optimizers.serialize(theirs))))
    assert read.get_config() == made.get_config()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_keras(name, real_keras):
    ours, theirs = getattr(optimizers, name)(name="a"), getattr(real_keras.optimizers, name)(name="a")
    assert ours.get_config() == {
        key: value if isinstance(value, list) else pytest.approx(value)
        for key, value in theirs.get_config().items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_lookups(name):
    cls = getattr(optimizers, name)
    for identifier in (name, name.lower(), name.upper(), cls, {"class_name": name.lower(), "config": {}}):
        assert type(optimizers.get(identifier)) is cls
    made = cls()
    assert optimizers.get(made) is made
    assert cls.__name__.lower() in made.name.replace("_", "")


def test_a_schedule_travels_in_the_config():
    made = optimizers.Adam(schedules.CosineDecay(0.5, 10, warmup_target=1.0, warmup_steps=3))
    back = optimizers.get(json.loads(json.dumps(optimizers.serialize(made))))
    assert back.get_config() == made.get_config()
    assert float(back.learning_rate) == float(made.learning_rate) == 0.5


def test_the_state_can_be_saved_and_loaded():
    variables = [Variable([1.0, 2.0], name="w")]
    optimizer = optimizers.Adam(0.25)
    optimizer.apply([gradient(1, 2)], variables)
    store = {}
    optimizer.save_own_variables(store)
    assert list(store) == ["0", "1", "2", "3"]
    other = optimizers.Adam()
    other.build(variables)
    other.load_own_variables(store)
    for one, loaded in zip(optimizer.variables, other.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), loaded.numpy())
    other.set_weights([0, 0.5, np.zeros(2), np.zeros(2)])
    assert float(other.learning_rate) == 0.5
    with pytest.warns(UserWarning, match="was not loaded: it has 2 variables, the saved one 4"):
        optimizers.Adam().load_own_variables(store)
    with pytest.raises(ArgumentError, match="has 2 variables, got 4 values"):
        optimizers.Adam().set_weights(list(store.values()))


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"]
)
def test_copies_go_on_alike_and_apart(duplicate):
    variable, optimizer = Variable([1.0, 2.0]), optimizers.Adam(0.1, use_ema=True)
    optimizer.exclude_from_weight_decay(var_list=[variable])
    optimizer.apply([gradient(1, 2)], [variable])
    twin_variable, twin = duplicate((variable, optimizer))
    optimizer.apply([gradient(3, 4)], [variable])
    assert int(twin.iterations) == 1
    twin.apply([gradient(3, 4)], [twin_variable])
    for one, other in zip([variable, *optimizer.variables], [twin_variable, *twin.variables], strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_apply_gradients_and_scaled_losses():
    variable = Variable([1.0])
    optimizer = optimizers.SGD(1.0, loss_scale_factor=8.0)
    assert optimizer.scale_loss(2.0) == 16.0
    assert optimizers.SGD().scale_loss(2.0) == 2.0
    iterations = optimizer.apply_gradients(zip([gradient(8)], [variable]))
    assert variable.numpy().tolist() == [0.0]
    assert int(iterations) == 1


def test_learning_rate_as_callable_and_as_number():
    optimizer = optimizers.SGD(lambda: 0.5)
    variable = Variable([1.0])
    optimizer.apply([gradient(1)], [variable])
    assert variable.numpy().tolist() == [0.5]
    assert float(optimizers.SGD(1).learning_rate) == 1.0
    assert float(optimizers.SGD(np.float32(0.5)).learning_rate) == 0.5


def test_an_optimizer_in_the_style_of_keras_code():
    @register_serializable("tests")
    class Lion(optimizers.Optimizer):
        def __init__(self, learning_rate=0.1, beta=0.5, **kwargs):
            super().__init__(learning_rate=learning_rate, **kwargs)
            self.beta = beta
            self.calls = Variable(0, trainable=False, name="calls")

        def build(self, variables):
            super().build(variables)
            self.momentums = [self.add_variable_from_reference(v, name="momentum") for v in variables]

        def update_step(self, gradient, variable, learning_rate):
            from lamina import ops

            m = self.momentums[self._get_variable_index(variable)]
            self.calls.assign_add(1)
            m.assign(self.beta * m + (1 - self.beta) * gradient)
            variable.assign_sub(learning_rate * ops.sign(m))

        def get_config(self):
            return {**super().get_config(), "beta": self.beta}

    optimizer, variables = Lion(), [Variable([1.0, 1.0], name="w"), Variable([0.0], name="b")]
    optimizer.apply([gradient(3, -3), gradient(0)], variables)
    assert variables[0].numpy() == pytest.approx([0.9, 1.1])
    assert [v.name for v in optimizer.variables] == [
        "iteration",
        "learning_rate",
        "calls",
        "w_momentum",
        "b_momentum",
    ]
    assert int(optimizer.calls) == 2
    back = optimizers.get(json.loads(json.dumps(optimizers.serialize(optimizer))))
    assert back.get_config() == optimizer.get_config()


def test_a_missing_super_call_is_named():
    class Forgetful(optimizers.Optimizer):
        def __init__(self):
            self.beta = 1

    with pytest.raises(StateError, match=r"sets 'beta' too early[\s\S]*super\(\).__init__"):
        Forgetful()


def test_a_missing_rule_is_named():
    class Empty(optimizers.Optimizer):
        pass

    with pytest.raises(NotImplementedError, match="Empty must define update_step"):
        Empty(0.1).apply([gradient(1)], [Variable([1.0])])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: optimizers.get("adm"), r"Unknown optimizer 'adm'[\s\S]*did you mean 'Adam'"),
        (lambda: optimizers.get(3), "Cannot make"),
        (lambda: optimizers.get(abs), "is not an optimizer"),
        (lambda: optimizers.SGD(-0.1), "learning rate of SGD cannot be -0.1"),
        (lambda: optimizers.SGD(float("nan")), "learning rate of SGD cannot be nan"),
        (lambda: optimizers.SGD(float("inf")), "learning rate of SGD cannot be inf"),
        (lambda: optimizers.SGD("fast"), "must be a number, a schedule or a callable"),
        (lambda: optimizers.SGD(None), "must be a number, a schedule or a callable"),
        (lambda: optimizers.SGD(momentum=1.5), "between 0 and 1, got 1.5"),
        (
            lambda: optimizers.Adam(clip_norm=1.0),
            r"Adam has no argument 'clip_norm'[\s\S]*did you mean 'clipnorm'",
        ),
        (lambda: optimizers.Adam(clipnorm=1.0, clipvalue=1.0), "at most one of clipnorm"),
        (lambda: optimizers.Adam(clipnorm=-1.0), "cannot clip gradients at -1"),
        (lambda: optimizers.Adam(gradient_accumulation_steps=1), "at least 2, or None, got 1"),
        (lambda: optimizers.Adam(use_ema=True, ema_momentum=2), "between 0 and 1, got 2"),
        (lambda: optimizers.Adam(use_ema=True, ema_overwrite_frequency=0), "positive or None, got 0"),
        (lambda: optimizers.AdamW(weight_decay=None), "AdamW needs a weight_decay"),
        (lambda: optimizers.Lion(beta_1=0.0), "beta_1 of Lion must be above 0"),
        (lambda: optimizers.Ftrl(learning_rate_power=0.5), "must not be above zero, got 0.5"),
        (lambda: optimizers.Ftrl(l1_regularization_strength=-1), "must not be negative, got -1"),
        (lambda: optimizers.Muon(clip_norm=1.0), "did you mean 'clipnorm'"),
        (lambda: optimizers.SGD().add_optimizer_variables([], ["a", "b"], ["zeros"]), "as many initializers"),
        (lambda: optimizers.SGD().apply([gradient(1)], []), "1 gradients do not fit 0 variables"),
        (lambda: optimizers.SGD().apply([None], [Variable([1.0])]), "no gradient for any variable"),
    ],
)
def test_wrong_arguments(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


def test_wrong_calls():
    optimizer, variable, stranger = optimizers.SGD(), Variable([1.0], name="w"), Variable([1.0], name="x")
    optimizer.apply([], [variable])
    assert not optimizer.built
    with pytest.raises(StateError, match="not built yet"):
        optimizer.apply([gradient(1)])
    with pytest.raises(StateError, match="not built yet"):
        optimizer.stateless_apply([], [gradient(1)], [])
    optimizer.build([variable])
    with pytest.raises(StateError, match="does not know the variable 'x'"):
        optimizer.apply([gradient(1)], [stranger])
    with pytest.raises(
        ShapeError, match=r"gradient of variable 'w'[\s\S]*expected: \(1,\)[\s\S]*got: .*\(2,\)"
    ):
        optimizer.apply([gradient(1, 2)])
    scheduled = optimizers.SGD(schedules.ExponentialDecay(0.1, 1, 0.5))
    with pytest.raises(StateError, match="follows a schedule"):
        scheduled.learning_rate = 0.1
    optimizer.learning_rate = 0.5
    with pytest.raises(ArgumentError, match="cannot be -1"):
        optimizer.learning_rate = -1.0
    assert float(optimizer.learning_rate) == 0.5


def test_missing_gradients_warn_and_leave_the_variable():
    one, other = Variable([1.0], name="one"), Variable([1.0], name="other")
    with pytest.warns(UserWarning, match="does not depend on other: no gradient"):
        optimizers.SGD(0.5).apply([gradient(1), None], [one, other])
    assert one.numpy().tolist() == [0.5]
    assert other.numpy().tolist() == [1.0]


def test_every_public_name_is_here(real_keras):
    public = {name for name in vars(real_keras.optimizers) if not name.startswith("_")}
    assert public - {"legacy"} - set(vars(optimizers)) == set()
