"""Models for the tests of saving: small, each with something that has to survive."""

import numpy as np

import lamina
from lamina import layers, ops

rng = np.random.default_rng(7)
X = rng.normal(size=(48, 3)).astype("float32")
Y = np.sin(X.sum(axis=1, keepdims=True))


@lamina.saving.register_keras_serializable("saving")
class Scaled(layers.Layer):
    """A layer with weights of both kinds, made in `build`."""

    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, inputs):
        self.calls.assign_add(1.0)
        return inputs * self.factor * self.start


@lamina.saving.register_keras_serializable("saving")
class Residual(lamina.Model):
    """Layers in attributes, lists and dicts, weights of its own, one layer that is held twice."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.blocks = [layers.Dense(units, "tanh"), [layers.Dense(units), layers.Dropout(0.3)]]
        self.heads = {"out": layers.Dense(1), "unused": None}
        self.same = self.blocks[0]
        self._private = Scaled(0.5)

    def build(self, input_shape):
        self.shift = self.add_weight(shape=(1,), initializer="zeros", name="shift")

    def call(self, inputs, training=None):
        x = self.blocks[0](inputs)
        x = x + self.blocks[1][1](self.blocks[1][0](x), training=training)
        return self.heads["out"](self._private(x)) + self.shift

    def get_config(self):
        return {"units": self.units, "name": self.name}


@lamina.saving.register_keras_serializable("saving")
def fourth_power(y_true, y_pred):
    return ops.mean(ops.square(ops.square(y_true - y_pred)), axis=-1)


def sequential():
    model = lamina.Sequential(
        [lamina.Input((3,)), layers.Dense(4, "relu"), layers.Dropout(0.5), layers.Dense(1)]
    )
    model.compile("adam", "mse", metrics=["mae"])
    return model


def functional():
    inputs = lamina.Input((3,), name="features")
    shared = layers.Dense(3, kernel_regularizer="l2", name="shared")
    inner = lamina.Sequential([layers.Dense(4, "tanh"), layers.GaussianNoise(0.1)], name="inner")
    x = inner(shared(shared(inputs)))
    outputs = layers.Dense(1, name="result")(layers.Concatenate()([x, inputs * 2.0]))
    model = lamina.Model(inputs, outputs)
    rate = lamina.optimizers.schedules.ExponentialDecay(0.01, 3, 0.9)
    model.compile(lamina.optimizers.AdamW(rate), lamina.losses.Huber(0.7), metrics=[lamina.metrics.R2Score()])
    return model


def subclassed():
    model = Residual(5)
    model.build((None, 3))
    model(X[:2])
    model.compile(lamina.optimizers.SGD(0.01, momentum=0.9), fourth_power)
    return model


MODELS = {"sequential": sequential, "functional": functional, "subclassed": subclassed}


def train(model, epochs=2):
    return model.fit(X, Y, batch_size=20, epochs=epochs, shuffle=False, verbose=0).history


def same_weights(first, second):
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)
