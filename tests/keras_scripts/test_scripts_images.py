"""Scripts for images as they are written for Keras: they must do the same with Lamina."""

import numpy as np
import pytest
from keras_script import compare, fill, history_of, names_of


def pictures(rows=12, size=12, channels=3, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(0, 1, (rows, size, size, channels)).astype("float32"), np.arange(rows) % 3


def trained(model, x, y, loss="sparse_categorical_crossentropy", **arguments):
    """The history of two epochs of SGD: Adam would magnify rounding errors of small gradients."""
    model.compile(loss=loss, **{"optimizer": "sgd", **arguments})
    return history_of(model.fit(x, y, epochs=2, batch_size=6, shuffle=False, verbose=0))


def digits_of_the_book(keras):
    layers = keras.layers
    x, y = pictures(size=14, channels=1)
    model = keras.Sequential(
        [
            keras.Input(shape=(14, 14, 1)),
            layers.Conv2D(8, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(16, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.0),
            layers.Dense(3, activation="softmax"),
        ]
    )
    fill(model, scale=0.2)
    history = trained(
        model, x, keras.utils.to_categorical(y, 3), "categorical_crossentropy", metrics=["accuracy"]
    )
    shapes = [tuple(layer.output.shape) for layer in model.layers]
    return {"history": history, "predictions": model.predict(x, verbose=0), "shapes": shapes}


def xception(keras):
    """Separable convolutions, batch normalisation and strided residuals."""
    layers = keras.layers
    x, y = pictures(size=16)
    inputs = keras.Input(shape=(16, 16, 3))
    hidden = layers.Rescaling(1.0 / 255)(inputs)
    hidden = layers.Conv2D(8, 3, strides=2, padding="same")(hidden)
    hidden = layers.BatchNormalization()(hidden)
    hidden = layers.Activation("relu")(hidden)
    before = hidden
    for size in [12, 16]:
        hidden = layers.Activation("relu")(hidden)
        hidden = layers.SeparableConv2D(size, 3, padding="same")(hidden)
        hidden = layers.BatchNormalization()(hidden)
        hidden = layers.MaxPooling2D(3, strides=2, padding="same")(hidden)
        residual = layers.Conv2D(size, 1, strides=2, padding="same")(before)
        hidden = layers.add([hidden, residual])
        before = hidden
    hidden = layers.GlobalAveragePooling2D()(hidden)
    outputs = layers.Dense(3, activation="softmax")(layers.Dropout(0.0)(hidden))
    model = keras.Model(inputs, outputs, name="small_xception")
    fill_positive(model)
    history = trained(model, 255 * x, y)
    return {"history": history, "names": names_of(model), "predictions": model.predict(255 * x, verbose=0)}


def fill_positive(model, seed=5):
    """Weights that may be variances too."""
    random = np.random.default_rng(seed)
    model.set_weights([0.2 + 0.1 * random.standard_normal(weight.shape) for weight in model.get_weights()])
    return model


def segmentation(keras):
    """A small U-Net: transposed convolutions, upsampling, skip connections, a class for each pixel."""
    layers = keras.layers
    x, _ = pictures(6, 8)
    y = (x.sum(-1) > 1.5).astype("int32")[..., None]
    inputs = keras.Input((8, 8, 3))
    down = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    middle = layers.MaxPooling2D()(down)
    middle = layers.Conv2D(6, 3, padding="same", activation="relu")(middle)
    up = layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu")(middle)
    other = layers.UpSampling2D(2, interpolation="bilinear")(middle)
    joined = layers.concatenate([down, up, other])
    outputs = layers.Conv2D(2, 1, activation="softmax", padding="same")(joined)
    model = keras.Model(inputs, outputs)
    fill(model)
    history = trained(model, x, y, metrics=["accuracy", keras.metrics.MeanIoU(2, sparse_y_pred=False)])
    return {"history": history, "masks": np.argmax(model.predict(x, verbose=0), axis=-1)}


def vision_transformer(keras):
    """Patches, class token, positions, attention."""
    layers, ops = keras.layers, keras.ops

    class Patches(layers.Layer):
        def __init__(self, patch_size, **kwargs):
            super().__init__(**kwargs)
            self.patch_size = patch_size

        def call(self, images):
            shape = ops.shape(images)
            height, width = shape[1] // self.patch_size, shape[2] // self.patch_size
            patches = ops.image.extract_patches(images, size=self.patch_size)
            return ops.reshape(
                patches, (shape[0], height * width, self.patch_size * self.patch_size * shape[3])
            )

        def get_config(self):
            return {**super().get_config(), "patch_size": self.patch_size}

    class PatchEncoder(layers.Layer):
        def __init__(self, patches, width, **kwargs):
            super().__init__(**kwargs)
            self.patches = patches
            self.projection = layers.Dense(width)
            self.position = layers.Embedding(patches, width)

        def call(self, patch):
            positions = ops.expand_dims(ops.arange(start=0, stop=self.patches, step=1), axis=0)
            return self.projection(patch) + self.position(positions)

    x, y = pictures(6, 8)
    inputs = keras.Input((8, 8, 3))
    encoded = PatchEncoder(4, 8)(Patches(4)(inputs))
    for _ in range(2):
        first = layers.LayerNormalization(epsilon=1e-6)(encoded)
        attended = layers.MultiHeadAttention(num_heads=2, key_dim=4, dropout=0.0)(first, first)
        second = layers.Add()([attended, encoded])
        hidden = layers.LayerNormalization(epsilon=1e-6)(second)
        hidden = layers.Dense(16, activation=keras.activations.gelu)(hidden)
        hidden = layers.Dense(8, activation=keras.activations.gelu)(hidden)
        encoded = layers.Add()([hidden, second])
    features = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(encoded))
    model = keras.Model(inputs, layers.Dense(3)(features))
    fill(model)
    history = trained(
        model, x, y, keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseTopKCategoricalAccuracy(2, name="top-2")],
    )  # fmt: skip
    return {"history": history, "logits": model.predict(x, verbose=0), "weights": len(model.weights)}


def heat_map(keras):
    """What the last convolution saw, cut out of a trained model."""
    layers = keras.layers
    x, y = pictures(6)
    model = keras.Sequential(
        [
            layers.Conv2D(4, 3, activation="relu"),
            layers.Conv2D(5, 3, activation="relu", name="last"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.build((None, 12, 12, 3))
    fill(model)
    trained(model, x, y)
    seen = keras.Model(model.inputs, [model.get_layer("last").output, model.outputs[0]])
    maps, predictions = seen.predict(x, verbose=0)
    return {"maps": maps, "predictions": predictions}


def frozen_base(keras):
    """Transfer learning: the base in inference mode, its batch normalisation included."""
    layers = keras.layers
    x, y = pictures(6)
    base = keras.Sequential(
        [layers.Input((12, 12, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()],
        name="base",
    )
    fill_positive(base)
    base.trainable = False
    inputs = keras.Input((12, 12, 3))
    hidden = base(inputs, training=False)
    hidden = layers.GlobalAveragePooling2D()(hidden)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    model.layers[-1].set_weights([np.full((4, 3), 0.1), np.zeros(3)])
    before = [np.array(weight) for weight in base.get_weights()]
    first = trained(model, x, y)
    same = [bool(np.array_equal(one, two)) for one, two in zip(before, base.get_weights())]
    base.trainable = True
    second = trained(model, x, y, optimizer=keras.optimizers.SGD(1e-3))
    return {"first": first, "second": second, "same": same, "trainable": len(model.trainable_weights)}


def blocks_of_a_class(keras):
    """A subclassed residual network, with `training` passed on by hand."""
    layers = keras.layers

    class Residual(layers.Layer):
        def __init__(self, filters, stride=1, **kwargs):
            super().__init__(**kwargs)
            self.first = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)
            self.norm = layers.BatchNormalization(momentum=0.9)
            self.second = layers.Conv2D(filters, 3, padding="same", use_bias=False)
            self.short = layers.Conv2D(filters, 1, stride) if stride > 1 else None

        def call(self, inputs, training=None):
            hidden = keras.ops.relu(self.norm(self.first(inputs), training=training))
            hidden = self.second(hidden)
            return keras.ops.relu(hidden + (self.short(inputs) if self.short else inputs))

    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.stem = layers.Conv2D(4, 3, padding="same")
            self.blocks = [Residual(4), Residual(8, 2)]
            self.pool = layers.GlobalAveragePooling2D()
            self.head = layers.Dense(3)

        def call(self, inputs, training=None):
            hidden = self.stem(inputs)
            for block in self.blocks:
                hidden = block(hidden, training=training)
            return self.head(self.pool(hidden))

    x, y = pictures(6)
    model = Network()
    model(x[:1])
    fill_positive(model)
    history = trained(model, x, y, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return {
        "history": history,
        "logits": model.predict(x, verbose=0),
        "names": [w.path for w in model.weights],
    }


def one_dimension_and_three(keras):
    layers = keras.layers
    random = np.random.default_rng(0)
    series, volumes = (
        random.random((6, 20, 2)).astype("float32"),
        random.random((6, 6, 6, 6, 1)).astype("float32"),
    )
    left, right = keras.Input((20, 2)), keras.Input((6, 6, 6, 1))
    one = layers.Conv1D(6, 3, dilation_rate=2, padding="causal", activation="relu")(left)
    one = layers.AveragePooling1D(2)(one)
    one = layers.GlobalMaxPooling1D()(layers.Cropping1D(1)(layers.ZeroPadding1D(2)(one)))
    three = layers.Conv3D(4, 3, activation="relu")(right)
    three = layers.GlobalAveragePooling3D()(layers.MaxPooling3D(2)(three))
    model = keras.Model([left, right], layers.Dense(1)(layers.concatenate([one, three])))
    fill(model)
    target = series[:, 0, :1]
    history = trained(model, [series, volumes], target, "mse", metrics=["mae"])
    return {"history": history, "predictions": model.predict([series, volumes], verbose=0)}


SCRIPTS = [
    digits_of_the_book,
    xception,
    segmentation,
    vision_transformer,
    heat_map,
    frozen_base,
    blocks_of_a_class,
    one_dimension_and_three,
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_script(script, real_keras):
    compare(script, real_keras, rtol=5e-4, atol=1e-4)
