"""Layer itself: tracking, building, names, arguments of calls, losses, configs."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.core.errors import ArgumentError, ShapeError, StateError
from lamina.core.naming import name_scope, reset_names
from lamina.core.serialization import custom_object_scope
from lamina.ir import primitives as p
from lamina.ir.trace import Trace
from lamina.layers.tracking import untracked


class Scale(layers.Layer):
    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")

    def call(self, inputs):
        return inputs * self.factor


class Block(layers.Layer):
    def __init__(self, units=3, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(units, activation=activation)
        self.second = layers.Dense(units)

    def call(self, inputs, training=None):
        return self.second(self.first(inputs))


def ones(*shape):
    return np.ones(shape, "float32")


# --- tracking --------------------------------------------------------------------------------------


def test_everything_assigned_is_tracked_in_order():
    Pair = namedtuple("Pair", "left right")

    class Holder(layers.Layer):
        def __init__(self):
            super().__init__()
            self.a = layers.Dense(1, name="a")
            self.many = [
                layers.Dense(1, name="b"),
                (layers.Dense(1, name="c"), {"x": layers.Dense(1, name="d")}),
            ]
            self.named = OrderedDict(y=layers.Dense(1, name="e"))
            self.pair = Pair(layers.Dense(1, name="f"), 3)
            self.unique = {layers.Dense(1, name="g")}
            self.metric = lamina.metrics.Mean(name="m")
            self.seed = lamina.random.SeedGenerator(1)
            self.variable = lamina.Variable(np.zeros(2, "float32"), name="v")
            self.fixed = lamina.Variable(np.zeros(2, "float32"), name="w", trainable=False)
            self.again = self.a

    holder = Holder()
    assert [layer.name for layer in holder._layers] == list("abcdefg")
    assert [metric.name for metric in holder.metrics] == ["m"]
    assert [variable.name for variable in holder.variables] == ["v", "w", "seed_generator_state"]
    assert [variable.name for variable in holder.weights] == ["v", "w"]
    assert isinstance(holder.pair, Pair)
    assert len(holder.metrics_variables) == 2

    holder.many.append(layers.Dense(1, name="h"))
    holder.named["z"] = layers.Dense(1, name="i")
    holder.many[1][1].update(u=layers.Dense(1, name="j"))
    holder.unique.add(layers.Dense(1, name="k"))
    holder.many += [layers.Dense(1, name="l")]
    assert [layer.name for layer in holder._layers] == list("abcdefghijkl")
    holder.many.pop()
    del holder.named["z"]
    holder.many[0] = layers.Dense(1, name="n")
    holder.unique.clear()
    assert [layer.name for layer in holder._layers] == list("acdefhjn")


def test_sublayers_may_come_before_super_init():
    class Early(layers.Layer):
        def __init__(self):
            self.dense = layers.Dense(2)
            self.rest = [layers.Dense(3)]
            super().__init__(name="early")

        def call(self, inputs):
            return self.rest[0](self.dense(inputs))

    early = Early()
    assert early(ones(2, 4)).shape == (2, 3)
    assert [weight.shape for weight in early.weights] == [(4, 2), (2,), (2, 3), (3,)]


def test_untracked_assignments_leave_no_trace():
    layer = Scale()
    with untracked():
        layer.friend = layers.Dense(2)
    assert layer._layers == []
    assert layer.friend.name.startswith("dense")


def test_a_deleted_variable_is_forgotten():
    layer = Scale()
    layer(ones(2, 3))
    del layer.factor
    assert layer.weights == []


def test_built_layers_take_no_new_state():
    layer = Scale()
    layer(ones(2, 3))
    with pytest.raises(StateError, match="cannot take on new state: Dense"):
        layer.late = layers.Dense(2)
    with pytest.raises(StateError, match="cannot take on new state: Variable"):
        layer.add_weight(shape=(2,), name="late")


def test_shared_weights_are_listed_once():
    dense = layers.Dense(3)
    block = Block()
    block.second = dense
    block.third = dense
    block(ones(2, 3))
    dense(ones(2, 3))
    assert sum(weight is dense.kernel for weight in block.weights) == 1


def test_freezing_reaches_every_weight_inside():
    block = Block()
    block(ones(2, 4))
    block.trainable = False
    assert block.trainable_weights == []
    assert len(block.non_trainable_weights) == 4
    assert not block.first.trainable
    assert not block.first.kernel.trainable
    block.trainable = True
    assert len(block.trainable_weights) == 4
    block.second.trainable = False
    assert [weight.path.split("/")[-2] for weight in block.trainable_weights] == [block.first.name] * 2


def test_weights_made_in_a_frozen_layer_are_frozen():
    layer = Scale(trainable=False)
    layer(ones(2, 3))
    assert not layer.factor.trainable
    assert layer.trainable_variables == []


# --- names and paths -------------------------------------------------------------------------------


def test_names_and_paths_are_those_of_keras(real_keras):
    def paths(module, base):
        class Inner(base):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.dense = module.layers.Dense(2)
                self.parts = [module.layers.Dense(2), module.layers.Dropout(0.1)]

            def call(self, inputs):
                return self.parts[1](self.parts[0](self.dense(inputs)))

        class Outer(base):
            def __init__(self):
                super().__init__()
                self.inner = Inner()
                self.named = Inner(name="special")

            def build(self, input_shape):
                self.bias = self.add_weight(shape=(2,), name="bias")
                self.counter = self.add_weight(name="counter", initializer="zeros", trainable=False)
                self.inner.build(input_shape) if hasattr(self.inner, "_trace") else self.inner(
                    ones(*input_shape)
                )

            def call(self, inputs):
                return self.named(self.inner(inputs)) + self.bias

        outer = Outer()
        outer(ones(2, 2))
        sequential = module.Sequential([module.Input((3,)), module.layers.Dense(2), module.layers.Dense(2)])
        x = module.Input((3,))
        model = module.Model(x, module.layers.Dense(2)(module.layers.ReLU()(x)), name="m")
        return [variable.path for layer in (outer, sequential, model) for variable in layer.weights]

    reset_names()
    real_keras.utils.clear_session()
    mine, theirs = paths(lamina, layers.Layer), paths(real_keras, real_keras.layers.Layer)
    assert mine == theirs


def test_names_count_up_and_start_again():
    reset_names()
    assert [layers.Dense(1).name for _ in range(3)] == ["dense", "dense_1", "dense_2"]
    assert layers.LeakyReLU().name == "leaky_re_lu"
    assert layers.RepeatVector(2).name == "repeat_vector"
    reset_names()
    assert layers.Dense(1).name == "dense"


def test_a_layer_keeps_the_path_of_its_first_use():
    dense = layers.Dense(2, name="d")
    with name_scope("outside"):
        dense(ones(1, 2))
    assert dense.path == "outside/d"
    assert dense.kernel.path == "outside/d/kernel"


# --- building --------------------------------------------------------------------------------------


def test_build_by_hand_and_from_config():
    block = Block(name="block")
    block.build((None, 4))
    assert block.built
    assert block.first.built
    assert [weight.path for weight in block.weights][:1] == [f"block/{block.first.name}/kernel"]
    config = block.get_build_config()
    assert config == {"input_shape": (None, 4)}
    again = Block()
    again.build_from_config(config)
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in block.weights]


def test_build_with_several_inputs():
    class Two(layers.Layer):
        def build(self, query_shape, value_shape):
            self.kernel = self.add_weight(shape=(query_shape[-1], value_shape[-1]), name="kernel")

        def call(self, query, value):
            return ops.matmul(query, self.kernel) * value

    layer = Two()
    assert layer(ones(2, 3), value=ones(2, 4)).shape == (2, 4)
    assert layer.kernel.shape == (3, 4)
    config = layer.get_build_config()
    assert config == {"shapes_dict": {"query_shape": (2, 3), "value_shape": (2, 4)}}
    again = Two()
    again.build_from_config(config)
    assert again.kernel.shape == (3, 4)
    x, y = layers.Input((3,)), layers.Input((4,))
    assert Two()(x, y).shape == (None, 4)

    class Wrong(Two):
        def build(self, query_shape, key_shape):
            pass

    with pytest.raises(ArgumentError, match="no argument of call\\(\\) matches 'key_shape'"):
        Wrong()(ones(2, 3), ones(2, 4))


def test_build_may_call_super():
    class Child(Scale):
        def build(self, input_shape):
            super().build(input_shape)
            self.shift = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="shift")

    child = Child()
    child(ones(2, 3))
    assert [weight.name for weight in child.weights] == ["factor", "shift"]


def test_build_from_a_mixin_is_prepared_too():
    class Mixin:
        def build(self, input_shape):
            self.weight = self.add_weight(shape=(input_shape[-1],), name="weight")

    class Mixed(Mixin, layers.Layer):
        def call(self, inputs):
            return inputs + self.weight

    mixed = Mixed(name="mixed")
    mixed(ones(2, 3))
    assert mixed.weight.path == "mixed/weight"


def test_weights_made_while_a_program_is_traced(run_traced):
    block = Block()
    result = run_traced(lambda x: block(x), ones(2, 4))
    assert len(block.weights) == 4
    np.testing.assert_allclose(result, block(ones(2, 4)), rtol=1e-6)


def test_unknown_extents_do_not_become_weights():
    class Positions(layers.Layer):
        def build(self, input_shape):
            self.table = self.add_weight(shape=input_shape[1:], name="table")

        def call(self, inputs):
            return inputs + self.table

    class Around(layers.Layer):
        def __init__(self):
            super().__init__()
            self.positions = Positions()

        def call(self, inputs):
            return self.positions(inputs)

    for layer in (Positions(), Around()):
        with pytest.raises(ShapeError, match="an extent is not known"):
            layer(layers.Input((None, 4)))


def test_two_threads_build_a_layer_once():
    for _ in range(20):
        layer = Block()
        threads = [threading.Thread(target=layer, args=(ones(2, 4),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(layer.weights) == 4


# --- calling ---------------------------------------------------------------------------------------


class Spy(layers.Layer):
    """Notes the training flag it was called with."""

    def __init__(self, default=None, **kwargs):
        super().__init__(**kwargs)
        self.seen = []
        self.call_default = default

    def call(self, inputs, training=None):
        self.seen.append(training)
        return inputs


class SpyTrue(Spy):
    def call(self, inputs, training=True):
        return super().call(inputs, training)


class Outer(layers.Layer):
    def __init__(self, inner, **passed):
        super().__init__()
        self.inner = inner
        self.passed = dict(passed)

    def call(self, inputs):
        return self.inner(inputs, **self.passed)


@pytest.mark.parametrize(
    ("inner", "passed", "outer", "expected"),
    [
        (Spy, {}, {}, None),
        (SpyTrue, {}, {}, True),
        (Spy, {}, {"training": True}, True),
        (SpyTrue, {}, {"training": False}, False),
        (Spy, {"training": False}, {"training": True}, False),
        (Spy, {"training": None}, {"training": True}, True),
    ],
)
def test_training_reaches_inner_layers(inner, passed, outer, expected):
    spy = inner()
    Outer(spy, **passed)(ones(1, 2), **outer)
    assert list(spy.seen) == [expected]


def test_training_of_one_call_does_not_leak_into_the_next():
    first, second = Spy(), Spy()

    class Both(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = first, second

        def call(self, inputs):
            return self.second(self.first(inputs, training=True))

    Both()(ones(1, 2))
    assert list(first.seen) == [True]
    assert list(second.seen) == [None]


@pytest.mark.parametrize(
    ("given", "shape", "dtype"),
    [
        ([[1.0, 2.0]], (1, 2), "float32"),
        ([[1, 2]], (1, 2), "int32"),
        (3.0, (), "float32"),
        (np.ones((1, 2)), (1, 2), "float32"),
        (np.ones((1, 2), "float16"), (1, 2), "float32"),
        (np.ones((1, 2), "int64"), (1, 2), "int64"),
        (lamina.Variable(np.ones((1, 2), "float32")), (1, 2), "float32"),
        ((np.ones((2, 2)).T), (2, 2), "float32"),
    ],
)
def test_inputs_become_tensors(given, shape, dtype):
    result = layers.Identity()(given)
    assert result.shape == shape
    assert str(result.dtype) == dtype
    assert hasattr(result, "numpy")


def test_structures_of_inputs_and_outputs():
    class Swap(layers.Layer):
        def call(self, inputs):
            return {"a": inputs["b"], "rest": [inputs["a"], (inputs["b"],)]}

    swapped = Swap()({"a": ones(1, 2), "b": [[1.0, 2.0, 3.0]]})
    assert swapped["rest"][0].shape == (1, 2)
    spec = Swap()({"a": layers.Input((2,)), "b": layers.Input((3,))})
    assert spec["a"].shape == (None, 3)
    assert isinstance(spec["rest"][1], tuple)


def test_autocast_can_be_switched_off():
    assert layers.Identity(autocast=False)(np.ones((1, 2))).dtype == "float64"


def test_calls_know_their_inputs_and_outputs():
    dense = layers.Dense(3)
    x = layers.Input((4,))
    y = dense(x)
    dense(layers.Input((4,)))
    assert dense.input is x
    assert dense.output is y
    assert len(dense._inbound_nodes) == 2
    with pytest.raises(AttributeError, match="never called on an Input"):
        _ = layers.Dense(2).output


def test_masks_travel_and_end():
    x = np.array([[[1.0], [0.0]]])
    masked = layers.Masking()(x)
    np.testing.assert_array_equal(masked._keras_mask, [[True, False]])
    through = layers.Dense(2)(masked)
    np.testing.assert_array_equal(through._keras_mask, [[True, False]])
    with pytest.warns(UserWarning, match="does not support masking"):
        ended = layers.Flatten()(through)
    assert getattr(ended, "_keras_mask", None) is None


def test_masks_are_filled_in():
    class Length(layers.Layer):
        def call(self, inputs, mask=None):
            return ops.sum(ops.cast(mask, "float32"), axis=-1)

        def compute_mask(self, inputs, previous_mask):
            return None

    class Two(layers.Layer):
        def call(self, query, value, query_mask=None, value_mask=None):
            self.seen = [mask is None for mask in (query_mask, value_mask)]
            return query

        def compute_mask(self, inputs, previous_mask):
            return None

    masked = layers.Masking()(np.array([[[1.0], [0.0]]]))
    assert Length()(masked) == 1.0
    assert Length()(ones(1, 2, 1), mask=np.array([[False, False]])) == 0.0
    two = Two()
    two(masked, ones(1, 2, 1))
    assert list(two.seen) == [False, True]


def test_masks_do_not_stick_to_the_callers_array():
    x = lamina.ops.convert_to_tensor(np.array([[[1.0], [0.0]]]))
    same = layers.Identity()(x)
    layers.Masking()(x)
    assert getattr(x, "_keras_mask", None) is None
    assert getattr(same, "_keras_mask", None) is None


# --- Dense in the graph ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 4), (3, 2, 4), (3, 2, 5, 4)])
def test_dense_is_dot_bias_and_activation(shape):
    layer = layers.Dense(5, activation="tanh")
    layer(np.zeros(shape))
    with Trace() as trace:
        output = layer(trace.input("x", shape, "float32"))
    nodes = [node for node in lamina.ir.Graph((), (output.value,)).nodes() if node.primitive is not p.input]
    assert [node.primitive.name for node in nodes] == ["dot", "broadcast", "add", "tanh"]


# --- losses ----------------------------------------------------------------------------------------


class Penalty(layers.Layer):
    def call(self, inputs):
        self.add_loss(ops.sum(inputs))
        return inputs


def test_losses_of_the_last_call():
    outer = Outer(Penalty())
    outer(ones(2, 3))
    outer(2 * ones(2, 3))
    assert [float(loss) for loss in outer.losses] == [12.0]
    outer.add_loss([1.0, ops.sum(ones(2))])
    assert sorted(float(loss) for loss in outer.losses) == [1.0, 2.0, 12.0]
    with pytest.raises(ArgumentError, match="takes tensors"):
        outer.add_loss("much")


def test_losses_of_weights_and_activity():
    dense = layers.Dense(
        2,
        kernel_initializer="ones",
        kernel_regularizer="l2",
        bias_regularizer="l1",
        activity_regularizer="l1",
    )
    dense(ones(4, 3))
    # activity: 0.01 * 8 * 3 / 4; weights: 0.01 * 6 and 0
    assert [float(loss) for loss in dense.losses] == pytest.approx([0.06, 0.06, 0.0])
    dense.trainable = False
    assert len(dense.losses) == 1


def test_losses_of_a_trace_stay_in_it(run_traced):
    layer = Penalty()
    layer(ones(1, 2))

    def step(x):
        layer(x)
        (loss,) = layer.losses
        return loss

    assert run_traced(step, ones(3, 3)) == 9.0
    assert [float(loss) for loss in layer.losses] == [2.0]


def test_losses_of_other_threads_are_not_seen():
    layer = Penalty()
    layer(ones(1, 2))
    seen = []
    thread = threading.Thread(target=lambda: (layer(ones(5, 5)), seen.extend(layer.losses)))
    thread.start()
    thread.join()
    assert [float(loss) for loss in seen] == [25.0]
    assert [float(loss) for loss in layer.losses] == [2.0]


# --- stateless_call --------------------------------------------------------------------------------


class Counting(layers.Layer):
    def build(self, input_shape):
        self.factor = self.add_weight(shape=(), initializer="ones", name="factor")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")
        self.dropout = layers.Dropout(0.5, seed=1)

    def call(self, inputs, training=None):
        self.calls.assign_add(1)
        self.add_loss(self.factor * 3)
        return self.dropout(inputs * self.factor, training=training)


def test_stateless_call(run_traced):
    layer = Counting()
    layer(ones(2, 2))
    before = [variable.numpy() for variable in layer.variables]
    trainable = [np.float32(5.0)]
    others = [variable.numpy() for variable in layer.non_trainable_variables]
    outputs, changed, losses = layer.stateless_call(
        trainable, others, ones(2, 2), training=False, return_losses=True
    )
    np.testing.assert_array_equal(outputs, 5 * ones(2, 2))
    assert changed[0] == 2.0
    assert [float(loss) for loss in losses] == [15.0]
    for variable, value in zip(layer.variables, before):
        np.testing.assert_array_equal(variable.numpy(), value)

    def traced(factor, x):
        outputs, changed = layer.stateless_call([factor], layer.non_trainable_variables, x, training=True)
        return outputs, changed

    outputs, changed = run_traced(traced, np.float32(5.0), ones(2, 2))
    assert set(np.unique(outputs)) <= {0.0, 10.0}
    assert changed[0] == 2.0
    assert changed[1][1] == before[2][1] + 1
    with pytest.raises(ArgumentError, match="wrong number of trainable_variables"):
        layer.stateless_call([], others, ones(2, 2))
    with pytest.raises(StateError, match="needs a layer that is built"):
        Counting().stateless_call([], [], ones(2, 2))


# --- configs ---------------------------------------------------------------------------------------


def test_simple_constructors_describe_themselves():
    class Plain(layers.Layer):
        def __init__(self, units, options=(1, 2), scale=None):
            super().__init__()

        def call(self, inputs):
            return inputs

    assert Block(4, name="b").get_config() == {
        "name": "b",
        "units": 4,
        "activation": "relu",
        "trainable": True,
        "dtype": "float32",
    }
    config = Plain(3, scale={"a": 1.0}).get_config()
    assert config == {"units": 3, "options": (1, 2), "scale": {"a": 1.0}}
    assert Plain.from_config(config).get_config() == config
    with custom_object_scope({"Block": Block}):
        again = layers.deserialize(layers.serialize(Block(4, name="b", trainable=False)))
    assert again.get_config() == Block(4, name="b", trainable=False).get_config()


def test_other_constructors_must_describe_themselves():
    class Wrapping(layers.Layer):
        def __init__(self, inner, **kwargs):
            super().__init__(**kwargs)
            self.inner = inner

    with pytest.raises(StateError, match=r"write get_config\(self\)"):
        Wrapping(layers.Dense(2)).get_config()


def test_configs_of_keras_with_a_policy_are_read():
    policy = {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": "float64"},
        "registered_name": None,
    }
    assert layers.Dense.from_config({"units": 2, "dtype": policy}).dtype == "float64"


def test_lambdas_can_be_copied_but_not_loaded():
    layer = layers.Lambda(lambda x: x + 1)
    assert layer._clone()(ones(1)) == 2.0
    with pytest.raises(StateError, match="never runs code from a file"):
        layers.Lambda.from_config(layer.get_config())


def test_wrapper_builds_and_describes_its_layer():
    class Twice(layers.Wrapper):
        def call(self, inputs):
            return self.layer(self.layer(inputs))

    twice = Twice(layers.Dense(3))
    assert twice(ones(2, 3)).shape == (2, 3)
    assert Twice.from_config(twice.get_config()).layer.units == 3
    with pytest.raises(ArgumentError, match="wraps a layer"):
        Twice(3)


# --- memory ----------------------------------------------------------------------------------------


def test_layers_are_freed():
    layer = Block()
    layer(ones(2, 4))
    layer(layers.Input((4,)))
    reference = weakref.ref(layer.first.kernel)
    del layer
    gc.collect()
    assert reference() is None


def test_an_uncalled_layer_is_freed_without_the_collector():
    gc.disable()
    try:
        layer = layers.Dense(3)
        layer.build((None, 2))
        reference = weakref.ref(layer)
        del layer
        assert reference() is None
    finally:
        gc.enable()
