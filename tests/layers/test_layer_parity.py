"""Every row against real Keras: outputs with copied weights, names, configs."""

from __future__ import annotations

import numpy as np
import pytest
from layer_rows import ROWS

from lamina import layers


def values(keras_layer):
    """The weights of a Keras layer as arrays."""
    return [np.asarray(weight.value) for weight in keras_layer.weights]


rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@rows
def test_outputs_with_the_weights_of_keras(row, real_keras):
    mine, theirs, inputs = row.make(layers), row.make(real_keras.layers), row.inputs()
    expected = np.asarray(theirs(inputs))
    mine(inputs)
    assert [(weight.name, tuple(weight.shape)) for weight in mine.weights] == [
        (weight.name, tuple(weight.shape)) for weight in theirs.weights
    ]
    mine.set_weights(values(theirs))
    outputs = mine(inputs)
    assert str(outputs.dtype) == str(expected.dtype)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    assert mine.count_params() == theirs.count_params()
    assert len(mine.variables) == len(theirs.variables)
    np.testing.assert_allclose(
        [float(loss) for loss in mine.losses], [float(loss) for loss in theirs.losses], rtol=1e-5
    )


@rows
def test_config_has_the_entries_of_keras(row, real_keras):
    mine, theirs = row.make(layers).get_config(), row.make(real_keras.layers).get_config()
    # Keras also writes, as None, settings of features that do not exist here.
    assert {key for key, value in theirs.items() if value is not None} <= set(mine)
    assert set(mine) - {"seed"} <= set(theirs)  # it forgets the seed of a SimpleRNN
    for key in (
        "units",
        "axis",
        "axes",
        "rate",
        "target_shape",
        "dims",
        "n",
        "equation",
        "use_bias",
        "activation",
    ):
        if key in mine:
            assert mine[key] == theirs[key]


@rows
def test_config_of_keras_is_understood(row, real_keras):
    if row.name.startswith("lambda"):
        return  # names a function of this test
    theirs = row.make(real_keras.layers)
    mine = layers.deserialize(real_keras.layers.serialize(theirs))
    assert mine.get_config().keys() == row.make(layers).get_config().keys()
    assert mine(row.inputs()).shape == row.output


def test_einsum_dense_knows_its_fans():
    layer = layers.EinsumDense("abc,cde->abde", (None, 50, 60), kernel_initializer="glorot_uniform")
    layer.build((None, 2, 40))
    limit = np.sqrt(6 / (40 + 3000))
    assert 0.98 * limit < np.abs(layer.kernel.numpy()).max() <= limit


@pytest.mark.parametrize(
    "name", ["add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate", "dot"]
)
def test_functional_forms(name, real_keras, rng):
    inputs = [rng.normal(size=(3, 4)).astype("float32") for _ in range(2)]
    expected = np.asarray(getattr(real_keras.layers, name)(inputs))
    np.testing.assert_allclose(getattr(layers, name)(inputs), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"])
def test_merging_of_masked_tensors(name, real_keras, rng):
    x, y = (rng.normal(size=(2, 3, 4)).astype("float32") for _ in range(2))
    x[0, 1], y[0, 1:], y[1, 0] = 0, 0, 0
    outputs = []
    for module in (layers, real_keras.layers):
        masked = [module.Masking()(x), module.Masking()(y)]
        result = getattr(module, name)()(masked)
        outputs.append((np.asarray(result), np.asarray(result._keras_mask)))
    np.testing.assert_allclose(outputs[0][0], outputs[1][0], rtol=1e-6)
    np.testing.assert_array_equal(outputs[0][1], outputs[1][1])


def test_softmax_with_a_mask(real_keras, rng):
    x = rng.normal(size=(3, 4)).astype("float32")
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    expected = np.asarray(real_keras.layers.Softmax()(x, mask=mask))
    np.testing.assert_allclose(layers.Softmax()(x, mask=mask), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "mean", "deviation"),
    [
        (lambda L: L.Dropout(0.25, seed=1), 1.0, np.sqrt(0.25 / 0.75)),
        (lambda L: L.GaussianDropout(0.2, seed=1), 1.0, np.sqrt(0.2 / 0.8)),
        (lambda L: L.GaussianNoise(0.3, seed=1), 1.0, 0.3),
    ],
)
def test_noise_has_the_right_moments(make, mean, deviation):
    noisy = make(layers)(np.ones((200, 300), "float32"), training=True)
    assert abs(noisy.mean() - mean) < 0.01
    assert abs(noisy.std() - deviation) < 0.01


def test_alpha_dropout_keeps_mean_and_variance(rng):
    inputs = rng.normal(size=(300, 300)).astype("float32")
    noisy = layers.AlphaDropout(0.3, seed=1)(inputs, training=True)
    assert abs(noisy.mean()) < 0.02
    assert abs(noisy.std() - 1) < 0.02


def test_dropout_shares_noise_along_axes_of_one():
    kept = layers.Dropout(0.5, noise_shape=(None, 1), seed=1)(np.ones((50, 4), "float32"), training=True)
    assert (kept == kept[:, :1]).all()
    assert 0 < kept.mean() < 2


def test_dropout_of_everything():
    assert (layers.Dropout(1.0)(np.ones((2, 3)), training=True) == 0).all()
    assert np.isfinite(layers.AlphaDropout(1.0)(np.ones((2, 3)), training=True)).all()
