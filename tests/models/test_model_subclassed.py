"""Subclassed models; copies, clones and summaries of models of all kinds."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import lamina
from lamina import Sequential, layers, models, ops
from lamina.core.errors import ArgumentError
from lamina.core.serialization import register_serializable
from lamina.layers import Dense, Input


def ones(*shape):
    return np.ones(shape, "float32")


@register_serializable("test_models")
class Classifier(lamina.Model):
    """Plain constructor arguments: describes itself."""

    def __init__(self, classes=3, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.hidden = [Dense(4, activation="relu"), Dense(4)]
        self.dropout = layers.Dropout(rate, seed=1)
        self.scores = Dense(classes)

    def call(self, inputs, training=None):
        for layer in self.hidden:
            inputs = layer(inputs)
        self.add_loss(1e-3 * ops.mean(ops.square(inputs)))
        return self.scores(self.dropout(inputs, training=training))


@register_serializable("test_models")
class Named(lamina.Model):
    """A functional model with a class of its own."""

    def describe(self):
        return f"{len(self.layers)} layers"


@register_serializable("test_models")
class Built(lamina.Model):
    """Makes its graph in the constructor."""

    def __init__(self, units=2, **kwargs):
        x = Input((4,))
        super().__init__(inputs=x, outputs=Dense(units)(x), **kwargs)
        self.units = units
        self.extra = Dense(1)

    def get_config(self):
        return {"units": self.units, "name": self.name}


def functional():
    x = Input((4,))
    shared = Dense(4, activation="tanh")
    return lamina.Model(x, layers.Add()([shared(shared(x)), layers.Dropout(0.1)(x) * 2]))


def named():
    x = Input((4,))
    return Named(inputs=x, outputs=Dense(2)(x))


def called(model):
    model(ones(2, 4))
    return model


MODELS = {
    "sequential": lambda: Sequential([Input((4,)), Dense(3), layers.Dropout(0.5), Dense(2)]),
    "deferred": lambda: called(Sequential([Dense(3), Dense(2)])),
    "functional": functional,
    "nested": lambda: Sequential([Input((4,)), functional(), called(Classifier())]),
    "subclassed": lambda: called(Classifier()),
    "named": named,
    "built": Built,
}
each = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


# --- copies ----------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies(make, duplicate):
    model = make()
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    twin = duplicate(model)
    assert type(twin) is type(model)
    assert twin.name == model.name
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]
    assert [variable.path for variable in twin.variables] == [variable.path for variable in model.variables]
    np.testing.assert_array_equal(twin(x), model(x))
    twin.set_weights([weight + 1 for weight in twin.get_weights()])
    assert not np.array_equal(twin(x), model(x))
    assert {id(variable) for variable in twin.variables}.isdisjoint(map(id, model.variables))
    texts = []
    model.summary(print_fn=texts.append)
    twin.summary(print_fn=texts.append)
    if not isinstance(model, Classifier):
        assert texts[0] == texts[1]
    for layer in (*model.layers, *twin.layers):
        assert layer.trainable


@each
def test_copies_of_compiled_models_train_on(make):
    model = make()
    model.compile("sgd", "mse", backend="reference")
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    y = np.zeros_like(np.asarray(model(x)))
    model.fit(x, y, shuffle=False, verbose=0)
    twin, other = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict(x, verbose=0), model.predict(x, verbose=0))
    twin.fit(x, y, shuffle=False, verbose=0)
    other.fit(x, y, shuffle=False, verbose=0)
    np.testing.assert_array_equal(twin.predict(x, verbose=0), other.predict(x, verbose=0))
    assert not np.array_equal(twin.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_copied_stack_can_grow_and_shrink():
    twin = copy.deepcopy(MODELS["sequential"]())
    kernel = twin.layers[0].kernel
    twin.add(Dense(7))
    assert twin(ones(2, 4)).shape == (2, 7)
    assert twin.layers[0].kernel is kernel
    twin.pop()
    assert twin(ones(2, 4)).shape == (2, 2)


def test_deep_models_can_be_copied():
    x = y = Input((2,))
    for _ in range(300):
        y = layers.ReLU()(y)
    model = lamina.Model(x, y)
    assert len(pickle.loads(pickle.dumps(copy.deepcopy(model))).layers) == 301


def test_functions_can_be_copied():
    x = Input((3,))
    function = lamina.Function(x, [Dense(2)(x), x * 2])
    twin = pickle.loads(pickle.dumps(copy.deepcopy(function)))
    for one, other in zip(function(ones(1, 3)), twin(ones(1, 3))):
        np.testing.assert_array_equal(one, other)


# --- cloning ---------------------------------------------------------------------------------------


@each
def test_clones_have_new_weights(make):
    model = make()
    clone = models.clone_model(model)
    assert type(clone) is type(model)
    clone(ones(2, 4))
    assert [weight.shape for weight in clone.weights] == [weight.shape for weight in model.weights]
    assert any(not np.array_equal(*pair) for pair in zip(clone.get_weights(), model.get_weights()))
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(ones(2, 4)), model(ones(2, 4)))


def test_cloning_with_functions():
    model = functional()

    def wider(layer):
        config = layer.get_config()
        return type(layer).from_config({**config, "name": config["name"] + "_new"})

    renamed = models.clone_model(model, clone_function=wider)
    assert all(layer.name.endswith("_new") for layer in renamed.layers[1:])

    def twice(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        return layers.Dropout(0.5)(outputs) if isinstance(layer, Dense) else outputs

    more = models.clone_model(model, call_function=twice)
    assert len(more.layers) == len(model.layers) + 2
    x = Input((4,), name="fresh")
    assert models.clone_model(model, input_tensors=x).inputs[0] is x
    assert models.clone_model(MODELS["sequential"](), input_tensors=x).inputs[0] is x
    inner = Sequential([Input((4,)), functional()])
    same = models.clone_model(inner, clone_function=lambda layer: layer)
    assert same.layers[0] is inner.layers[0]
    deep = models.clone_model(inner, recursive=True)
    assert deep.layers[0] is not inner.layers[0]
    with pytest.raises(ArgumentError, match="Sequential model"):
        models.clone_model(inner, call_function=twice)
    with pytest.raises(ArgumentError, match="subclassed model"):
        models.clone_model(Classifier(), clone_function=wider)
    with pytest.raises(ArgumentError, match="input_tensors do not fit"):
        models.clone_model(model, input_tensors=[x, x])


def test_clones_keep_lambdas_and_compile_settings():
    model = Sequential([Input((4,)), layers.Lambda(lambda x: 3 * x), Dense(1)])
    model.compile("adam", "mae", metrics=["mse"])
    clone = models.clone_model(model)
    assert clone.compiled
    assert clone.optimizer is not model.optimizer
    assert type(clone.optimizer) is type(model.optimizer)
    assert clone.layers[0](ones(1)) == 3.0


# --- classes of models -----------------------------------------------------------------------------


def test_subclassed_models_describe_themselves():
    model = called(Classifier(5, name="c"))
    assert model.get_config() == {
        "name": "c",
        "classes": 5,
        "rate": 0.5,
        "trainable": True,
        "dtype": "float32",
    }
    again = models.model_from_json(model.to_json())
    assert again.built
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(ones(2, 4)), model(ones(2, 4)))


def test_models_of_a_class_with_a_graph():
    model = named()
    assert isinstance(model, Named)
    assert model.describe() == "2 layers"
    again = models.model_from_json(model.to_json())
    assert isinstance(again, Named)
    assert again.describe() == "2 layers"
    built = Built(3)
    assert built(ones(2, 4)).shape == (2, 3)
    assert models.model_from_json(built.to_json()).units == 3


def test_kinds_of_models():
    assert type(functional()).__name__ == "Functional"
    assert functional().name.startswith("functional")
    assert issubclass(models.Functional, lamina.Model)
    with pytest.raises(NotImplementedError, match="write call"):
        lamina.Model()(ones(2))


def test_custom_steps_and_layers_train():
    class Weighted(lamina.Model):
        def train_step(self, data):
            x, y = data
            loss = ops.mean(ops.square(self(x, training=True) - y)) * 2
            self.optimizer.apply(lamina.gradients(loss, self.trainable_variables), self.trainable_variables)
            return {"twice": loss}

    x = Input((4,))
    model = Weighted(x, Dense(1)(x))
    model.compile("sgd", "mse", backend="reference")
    data = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    history = model.fit(data, data[:, :1], epochs=5, verbose=0)
    assert history.history["twice"][-1] < history.history["twice"][0]


def test_losses_added_in_call_are_trained(real_keras):
    class Penalty(layers.Layer):
        def call(self, inputs):
            self.add_loss(ops.mean(inputs))
            return inputs

    model = Sequential([Input((2,)), Dense(1, kernel_initializer="ones", kernel_regularizer="l2"), Penalty()])
    model.compile("sgd", "mse", backend="reference")
    # mean squared error 4, penalty 2, weights 0.01 * 2
    assert model.evaluate(ones(4, 2), np.zeros((4, 1)), verbose=0) == pytest.approx(6.02)


# --- looking inside --------------------------------------------------------------------------------


def test_repr_and_html():
    model = Sequential([Dense(3, name="<first>"), layers.ReLU()], name="m")
    assert repr(model) == "<Sequential name=m, built=False>"
    model.build((None, 4))
    assert repr(model) == "<Sequential name=m, built=True, layers=2, parameters=15>"
    page = model._repr_html_()
    assert "&lt;first&gt; (Dense)" in page
    assert "Total params: 15 (60.00 B)" in page
    assert "Connected to" in functional()._repr_html_()
    assert repr(model.layers[1]).startswith("<ReLU name=re_lu")


def test_summary_options(capsys):
    model = MODELS["nested"]()
    model.summary(expand_nested=True)
    printed = capsys.readouterr().out
    assert "└ dense" in printed
    texts = []
    first, last = model.layers[1].name, model.layers[1].name
    model.summary(
        print_fn=texts.append, layer_range=(first, last), line_length=120, positions=[0.5, 0.8, 1.0]
    )
    assert model.layers[0].name not in texts[0]
    assert max(map(len, texts[0].splitlines())) == 120
    with pytest.raises(ArgumentError, match="names no layers"):
        model.summary(layer_range=("nothing", "nowhere"))
    with pytest.raises(ArgumentError, match="do not fit"):
        model.summary(line_length=8)


def test_summary_counts_the_optimizer():
    model = MODELS["sequential"]()
    model.compile("adam", "mse", backend="reference")
    model.fit(ones(4, 4), ones(4, 2), verbose=0)
    texts = []
    model.summary(print_fn=texts.append)
    assert "Optimizer params: 48" in texts[0]
    assert "Total params: 71" in texts[0]


@pytest.mark.parametrize("size", [0, 1023, 1024, 1536, 3 * 1024**3])
def test_readable_sizes(size, real_keras):
    from keras.src.utils.summary_utils import readable_memory_size

    from lamina.models.summary import readable_size

    assert readable_size(size) == readable_memory_size(size)


# --- memory ----------------------------------------------------------------------------------------


@each
def test_models_are_freed(make):
    model = make()
    model.compile("sgd", "mse", backend="reference")
    x = ones(4, 4)
    model.fit(x, np.asarray(model(x)), verbose=0)
    model.summary(print_fn=lambda text: None)
    references = [weakref.ref(model), *(weakref.ref(variable) for variable in model.variables)]
    del model
    gc.collect()
    assert [reference() for reference in references] == [None] * len(references)
