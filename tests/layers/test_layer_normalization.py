"""Normalisation beyond single calls: masks, moving statistics over steps, adapting to data."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina.core.errors import ArgumentError, DataError, ShapeError


def values(layer):
    return [np.asarray(variable.value) for variable in layer.weights]


@pytest.mark.parametrize("channels", [1, 3])
def test_batch_normalization_leaves_masked_steps_out(channels, real_keras, rng):
    x = rng.normal(size=(4, 5, channels)).astype("float32")
    mask = rng.random((4, 5)) < 0.6
    mask[0, 0] = True
    mine, theirs = layers.BatchNormalization(momentum=0.5), real_keras.layers.BatchNormalization(momentum=0.5)
    if channels == 1:  # Keras squeezes the axis of a single channel away
        theirs.build(x.shape)
        mine(x, training=True, mask=mask)
        np.testing.assert_allclose(mine.moving_mean.numpy(), 0.5 * x[mask].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(mine.moving_variance.numpy(), 0.5 + 0.5 * x[mask].var(axis=0), rtol=1e-5)
        return
    expected = np.asarray(theirs(x, training=True, mask=mask))
    np.testing.assert_allclose(mine(x, training=True, mask=mask), expected, rtol=1e-5, atol=1e-5)
    for own, other in zip(values(mine), values(theirs), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)
    assert mine(layers.Masking()(x))._keras_mask is not None


def test_frozen_batch_normalization_infers(rng):
    x = rng.normal(2.0, 3.0, size=(16, 3)).astype("float32")
    layer = layers.BatchNormalization(trainable=False)
    np.testing.assert_array_equal(layer(x, training=True), layer(x))
    np.testing.assert_array_equal(layer.moving_mean.numpy(), 0)


def test_moving_statistics_are_state_of_the_compiled_step(rng):
    x = rng.normal(5.0, 2.0, size=(256, 4)).astype("float32")
    model = lamina.Sequential([layers.Input((4,)), layers.BatchNormalization(momentum=0.5), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], batch_size=64, epochs=4, shuffle=False, verbose=0)
    normalization = model.layers[0]
    mean, variance = np.zeros(4), np.ones(4)
    for batch in np.split(x, 4) * 4:
        mean, variance = (mean + batch.mean(axis=0)) / 2, (variance + batch.var(axis=0)) / 2
    np.testing.assert_allclose(normalization.moving_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(normalization.moving_variance.numpy(), variance, rtol=1e-5)
    before = normalization.moving_mean.numpy()
    model.evaluate(x, x[:, :1], verbose=0)
    model.predict(x, verbose=0)
    np.testing.assert_array_equal(normalization.moving_mean.numpy(), before)


def test_adapt_to_arrays_batches_and_integers(rng):
    data = rng.integers(0, 255, (5000, 3, 2)).astype("uint8")
    mean, variance = data.mean(axis=(0, 1)), data.var(axis=(0, 1))
    batches = [data[:100], data[100:101], data[101:]]
    for source in (data, batches, iter([(batch, None) for batch in batches])):
        layer = layers.Normalization()
        layer.adapt(source)
        np.testing.assert_allclose(layer.mean, mean, rtol=1e-6)
        np.testing.assert_allclose(layer.variance, variance, rtol=1e-6)
    normalized = layer(data)
    assert normalized.dtype == "float32"
    np.testing.assert_allclose(normalized.mean(axis=(0, 1)), 0, atol=1e-4)
    inverse = layers.Normalization(mean=mean, variance=variance, invert=True)
    np.testing.assert_allclose(inverse(normalized), data, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("axis", [-1, None, (1, 2), 1])
def test_adapt_as_keras_does(axis, real_keras, rng):
    data = rng.normal(3.0, 2.0, size=(6, 4, 5)).astype("float32")
    mine, theirs = layers.Normalization(axis=axis), real_keras.layers.Normalization(axis=axis)
    mine.adapt(data)
    theirs.adapt(data)
    np.testing.assert_allclose(mine(data), np.asarray(theirs(data)), rtol=1e-4, atol=1e-5)
    assert mine.adapt_mean.shape == tuple(theirs.adapt_mean.shape)


def test_adapting_again_counts_without_compiling_anew(rng):
    x = rng.normal(size=(32, 2)).astype("float32")
    layer = layers.Normalization()
    layer.adapt(x)
    model = lamina.Sequential([layers.Input((2,)), layer])
    model.predict(x, verbose=0)
    layer.adapt(10 * x + 3)
    np.testing.assert_allclose(model.predict(10 * x + 3, verbose=0).mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize(
    ("error", "wrong", "fragment"),
    [
        (ArgumentError, lambda: layers.Normalization(mean=1.0), "variance"),
        (ArgumentError, lambda: layers.Normalization(mean=[1.0], variance=[1.0, 2.0]), "(2,)"),
        (ArgumentError, lambda: layers.Normalization(mean=1.0, variance=1.0).adapt(np.ones((2, 2))), "adapt"),
        (ArgumentError, lambda: layers.Normalization().adapt(3.5), "float"),
        (ShapeError, lambda: layers.Normalization(axis=3)(np.ones((2, 2))), "axis=(3,)"),
        (ShapeError, lambda: layers.Normalization().adapt([np.ones((2, 3)), np.ones((2, 4))]), "(2, 4)"),
        (DataError, lambda: layers.Normalization().adapt(np.ones((0, 3))), "no data"),
        (DataError, lambda: layers.Normalization().adapt([]), "no data"),
        (DataError, lambda: layers.Normalization().adapt(np.array([[np.nan], [1.0]])), "not finite"),
        (ShapeError, lambda: layers.BatchNormalization(axis=2)(np.ones((2, 2))), "axis 2"),
        (ArgumentError, lambda: layers.BatchNormalization(momentum=1.5), "momentum=1.5"),
        (
            ArgumentError,
            lambda: layers.BatchNormalization(renorm=True, renorm_clipping={"rmin": 2, "rmax": 1}),
            "rmin",
        ),
        (
            ShapeError,
            lambda: layers.BatchNormalization()(
                np.ones((2, 3, 4)), training=True, mask=np.ones((2, 3, 4), bool)
            ),
            "mask",
        ),
        (ArgumentError, lambda: layers.GroupNormalization(0), "groups=0"),
        (ArgumentError, lambda: layers.SpectralNormalization(layers.ReLU())(np.ones((2, 3))), "kernel"),
        (ArgumentError, lambda: layers.LayerNormalization(axis="last"), "axis='last'"),
    ],
)
def test_what_cannot_be_normalised(error, wrong, fragment):
    with pytest.raises(error) as caught:
        wrong()
    assert fragment in str(caught.value)


def test_spatial_dropout_drops_whole_channels():
    kept = layers.SpatialDropout2D(0.5, seed=1)(np.ones((50, 3, 4, 6), "float32"), training=True)
    assert (kept == kept[:, :1, :1]).all()
    assert set(np.unique(kept).tolist()) == {0.0, 2.0}
    assert 0.8 < kept.mean() < 1.2
