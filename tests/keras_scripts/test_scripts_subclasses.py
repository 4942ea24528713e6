"""Scripts of the guide "Making new layers and models via subclassing", and what people derive from it."""

import numpy as np
import pytest
from keras_script import compare, fill, flowers, history_of, houses, names_of


def make_linear(keras):
    @keras.saving.register_keras_serializable(package="scripts")
    class Linear(keras.layers.Layer):
        def __init__(self, units=32, regularizer=None, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.regularizer = keras.regularizers.get(regularizer)

        def build(self, input_shape):
            self.w = self.add_weight(
                shape=(input_shape[-1], self.units),
                initializer="random_normal",
                regularizer=self.regularizer,
                trainable=True,
                name="w",
            )
            self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True)

        def call(self, inputs):
            return keras.ops.matmul(inputs, self.w) + self.b

        def get_config(self):
            config = super().get_config()
            config.update(
                {"units": self.units, "regularizer": keras.regularizers.serialize(self.regularizer)}
            )
            return config

    return Linear


def linear_layers(keras):
    Linear = make_linear(keras)

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.linear_1 = Linear(6, regularizer="l2")
            self.linear_2 = Linear(6)
            self.linear_3 = Linear(1)

        def call(self, inputs):
            x = self.linear_1(inputs)
            x = keras.activations.relu(x)
            x = self.linear_2(x)
            x = keras.activations.relu(x)
            return self.linear_3(x)

    x, _ = flowers(12)
    block = Block()
    shape = block(keras.ops.ones(shape=(3, 4))).shape
    fill(block)
    layer = Linear(5, regularizer="l1", name="again")
    layer(x)
    config = layer.get_config()
    copy = Linear.from_config(config)
    return {
        "shape": tuple(shape),
        "weights": [len(block.weights), len(block.trainable_weights)],
        "paths": [weight.path for weight in block.weights],
        "output": np.asarray(block(x)),
        "losses": [float(loss) for loss in block.losses],
        "units": config["units"],
        "copy": [copy.name, copy.units, copy.regularizer.__class__.__name__],
        "built": [layer.built, copy.built],
    }


def sums_that_do_not_train(keras):
    class ComputeSum(keras.layers.Layer):
        def __init__(self, input_dim):
            super().__init__()
            self.total = self.add_weight(initializer="zeros", shape=(input_dim,), trainable=False)

        def call(self, inputs):
            self.total.assign_add(keras.ops.sum(inputs, axis=0))
            return self.total

    summing = ComputeSum(2)
    first = np.array(summing(keras.ops.ones((2, 2))))
    second = np.array(summing(keras.ops.ones((2, 2))))

    class Counting(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.calls = self.add_weight(
                shape=(), initializer="zeros", dtype="int32", trainable=False, name="calls"
            )
            self.mean = self.add_weight(shape=(6,), initializer="zeros", trainable=False, name="mean")

        def call(self, inputs, training=False):
            if training:
                self.calls.assign_add(1)
                self.mean.assign(0.9 * self.mean + 0.1 * keras.ops.mean(inputs, axis=0))
            return inputs - self.mean

    x, y = houses(40)
    model = keras.Sequential([keras.Input((6,)), Counting(), keras.layers.Dense(1)])
    fill(model.layers[1])
    model.compile("sgd", "mse")
    history = model.fit(x, y, batch_size=10, epochs=2, shuffle=False, verbose=0)
    return {
        "first": first,
        "second": second,
        "non_trainable": len(summing.non_trainable_weights),
        "history": history_of(history),
        "calls": int(model.layers[0].calls.numpy()),
        "mean": np.asarray(model.layers[0].mean),
        "evaluated": model.evaluate(x, y, batch_size=40, verbose=0),
    }


def losses_in_layers(keras):
    ops = keras.ops

    class ActivityPenalty(keras.layers.Layer):
        def __init__(self, rate=1e-2):
            super().__init__()
            self.rate = rate

        def call(self, inputs):
            self.add_loss(self.rate * ops.mean(inputs))
            return inputs

    class LogisticEndpoint(keras.layers.Layer):
        def __init__(self, name=None):
            super().__init__(name=name)
            self.crossentropy = keras.losses.BinaryCrossentropy(from_logits=True)

        def call(self, logits, targets=None):
            if targets is not None:
                self.add_loss(self.crossentropy(targets, logits))
            return ops.sigmoid(logits)

    x, y = flowers(40)
    y = (y > 0).astype("float32")[:, None]
    inputs = keras.Input((4,), name="inputs")
    targets = keras.Input((1,), name="targets")
    hidden = ActivityPenalty()(keras.layers.Dense(5, activation="relu")(inputs))
    logits = keras.layers.Dense(1)(hidden)
    predictions = LogisticEndpoint(name="endpoint")(logits, targets)
    model = keras.Model([inputs, targets], predictions)
    fill(model)
    model.compile(optimizer="adam")
    history = model.fit({"inputs": x, "targets": y}, epochs=2, batch_size=20, shuffle=False, verbose=0)
    return {"history": history_of(history), "metrics": sorted(metric.name for metric in model.metrics)}


def variational_autoencoder(keras):
    ops = keras.ops

    class Sampling(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.seed_generator = keras.random.SeedGenerator(1337)

        def call(self, inputs):
            mean, log_variance = inputs
            batch, dim = ops.shape(mean)[0], ops.shape(mean)[1]
            noise = 0.0 * keras.random.normal(shape=(batch, dim), seed=self.seed_generator)
            return mean + ops.exp(0.5 * log_variance) * noise

    class Encoder(keras.layers.Layer):
        def __init__(self, latent_dim=2, intermediate_dim=5, name="encoder", **kwargs):
            super().__init__(name=name, **kwargs)
            self.dense_proj = keras.layers.Dense(intermediate_dim, activation="relu")
            self.dense_mean = keras.layers.Dense(latent_dim)
            self.dense_log_var = keras.layers.Dense(latent_dim)
            self.sampling = Sampling()

        def call(self, inputs):
            hidden = self.dense_proj(inputs)
            mean, log_variance = self.dense_mean(hidden), self.dense_log_var(hidden)
            return mean, log_variance, self.sampling((mean, log_variance))

    class Decoder(keras.layers.Layer):
        def __init__(self, original_dim, intermediate_dim=5, name="decoder", **kwargs):
            super().__init__(name=name, **kwargs)
            self.dense_proj = keras.layers.Dense(intermediate_dim, activation="relu")
            self.dense_output = keras.layers.Dense(original_dim, activation="sigmoid")

        def call(self, inputs):
            return self.dense_output(self.dense_proj(inputs))

    class VariationalAutoEncoder(keras.Model):
        def __init__(self, original_dim, name="autoencoder", **kwargs):
            super().__init__(name=name, **kwargs)
            self.encoder = Encoder()
            self.decoder = Decoder(original_dim)

        def call(self, inputs):
            mean, log_variance, z = self.encoder(inputs)
            reconstructed = self.decoder(z)
            kl_loss = -0.5 * ops.mean(log_variance - ops.square(mean) - ops.exp(log_variance) + 1)
            self.add_loss(kl_loss)
            return reconstructed

    x, _ = houses(40)
    model = VariationalAutoEncoder(6)
    model(x[:2])
    fill(model)
    model.compile(keras.optimizers.Adam(learning_rate=1e-2), loss=keras.losses.MeanSquaredError())
    history = model.fit(x, x, epochs=2, batch_size=20, shuffle=False, verbose=0)
    return {"history": history_of(history), "names": names_of(model)}


def model_with_training_flag(keras):
    class Classifier(keras.Model):
        def __init__(self, num_classes=3):
            super().__init__()
            self.num_classes = num_classes
            self.hidden = [keras.layers.Dense(8, activation="relu") for _ in range(2)]
            self.dropout = keras.layers.Dropout(0.5)
            self.classifier = keras.layers.Dense(num_classes, activation="softmax")
            self.extra = {"scale": keras.layers.Rescaling(2.0)}

        def call(self, inputs, training=False):
            x = self.extra["scale"](inputs)
            for layer in self.hidden:
                x = layer(x)
            if training:
                x = x * 0.5
            return self.classifier(x)

    x, y = flowers(48)
    model = Classifier()
    unbuilt = [model.built, len(model.weights)]
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model(x[:1])
    fill(model)
    history = model.fit(
        x, y, batch_size=24, epochs=2, shuffle=False, verbose=0, validation_data=(x[:24], y[:24])
    )
    return {
        "unbuilt": unbuilt,
        "history": history_of(history),
        "names": names_of(model),
        "training": np.asarray(model(x[:3], training=True)),
        "inference": np.asarray(model(x[:3])),
        "config": model.get_config()["num_classes"],
    }


def antirectifier(keras):
    ops = keras.ops

    class Antirectifier(keras.layers.Layer):
        def __init__(self, initializer="he_normal", **kwargs):
            super().__init__(**kwargs)
            self.initializer = keras.initializers.get(initializer)

        def build(self, input_shape):
            output_dim = input_shape[-1]
            self.kernel = self.add_weight(
                shape=(output_dim * 2, output_dim),
                initializer=self.initializer,
                name="kernel",
                trainable=True,
            )

        def call(self, inputs):
            inputs = inputs - ops.mean(inputs, axis=-1, keepdims=True)
            pos, neg = ops.relu(inputs), ops.relu(-inputs)
            return ops.matmul(ops.concatenate([pos, neg], axis=-1), self.kernel)

    x, y = flowers(48)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6),
            Antirectifier(),
            keras.layers.Dense(5),
            Antirectifier(),
            keras.layers.Dense(3),
        ]
    )
    fill(model)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        optimizer=keras.optimizers.RMSprop(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    history = model.fit(x, y, batch_size=16, epochs=2, validation_split=0.25, shuffle=False, verbose=0)
    return {"history": history_of(history), "layers": [layer.name for layer in model.layers]}


def layers_inside_layers(keras):
    """Several inputs to `call`, keyword tensors, nested outputs, a mask that goes through."""

    class Mixer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3, name="inner")

        def build(self, first_shape, second_shape):
            self.dense.build(first_shape)
            self.scale = self.add_weight(shape=(second_shape[-1],), initializer="ones", name="scale")

        def call(self, first, second, factor=1.0):
            return {"sum": self.dense(first) + factor, "product": second * self.scale}

        def compute_output_shape(self, first_shape, second_shape):
            return {"sum": (*first_shape[:-1], 3), "product": second_shape}

    a, b = keras.Input((4,)), keras.Input((2,))
    mixer = Mixer()
    outputs = mixer(a, b, factor=2.0)
    model = keras.Model([a, b], outputs)
    fill(model)
    x, _ = flowers(6)
    result = model([x, x[:, :2]])
    return {
        "result": {key: np.asarray(result[key]) for key in sorted(result)},
        "shapes": {key: list(outputs[key].shape) for key in sorted(outputs)},
        "paths": [weight.path for weight in model.weights],
        "count": mixer.count_params(),
    }


def custom_pieces_by_name(keras):
    """Functions for activation, initializer, regularizer and constraint, as in chapters on customising."""
    ops = keras.ops

    def my_softplus(z):
        return ops.log(1.0 + ops.exp(z))

    def my_initializer(shape, dtype="float32"):
        return ops.ones(shape, dtype=dtype) * 0.25

    def my_regularizer(weights):
        return ops.sum(ops.abs(0.01 * weights))

    def my_positive_weights(weights):
        return ops.maximum(weights, 0.0)

    class MyRegularizer(keras.regularizers.Regularizer):
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, weights):
            return ops.sum(ops.abs(self.factor * weights))

        def get_config(self):
            return {"factor": self.factor}

    x, y = houses(40)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(
                4,
                activation=my_softplus,
                kernel_initializer=my_initializer,
                kernel_regularizer=my_regularizer,
                kernel_constraint=my_positive_weights,
            ),
            keras.layers.Dense(1, kernel_regularizer=MyRegularizer(0.02), kernel_initializer=my_initializer),
        ]
    )
    model.compile("sgd", "mse")
    history = model.fit(x, y, batch_size=20, epochs=2, shuffle=False, verbose=0)
    return {
        "history": history_of(history),
        "weights": model.get_weights(),
        "penalty": float(MyRegularizer(0.5)(np.ones((2, 2)))),
    }


SCRIPTS = [
    linear_layers,
    sums_that_do_not_train,
    losses_in_layers,
    variational_autoencoder,
    model_with_training_flag,
    antirectifier,
    layers_inside_layers,
    custom_pieces_by_name,
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_script(script, real_keras):
    compare(script, real_keras)
