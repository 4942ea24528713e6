"""Convolutions, pooling and images where Keras cannot judge: other paddings, errors, gradients, seeds."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import ops
from lamina import random as random_numbers
from lamina.core.errors import ArgumentError, DTypeError, ShapeError
from lamina.grad.reverse import gradients
from lamina.interp import run_graph
from lamina.ir.graph import Graph
from lamina.ir.trace import Trace


def ones(*shape):
    return np.ones(shape, np.float32)


def test_explicit_and_causal_padding():
    x = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
    causal = ops.conv(x, ones(2, 1, 1), padding="causal", dilation_rate=2)
    assert causal.ravel().tolist() == [0, 1, 2, 4, 6]
    assert np.array_equal(causal, ops.conv(x, ones(2, 1, 1), padding=((2, 0),), dilation_rate=2))
    assert ops.conv(x, ones(2, 1, 1), padding=[(0, 3)]).shape == (1, 7, 1)


def test_pools_touch_unless_told_otherwise():
    x = np.random.default_rng(0).standard_normal((2, 7, 6, 3)).astype("f")
    for pool in (ops.max_pool, ops.average_pool):
        assert np.array_equal(pool(x, (3, 2)), pool(x, (3, 2), (3, 2)))


def test_averages_ignore_the_padding():
    assert np.array_equal(ops.average_pool(ones(1, 5, 5, 2), 3, 1, "same"), ones(1, 5, 5, 2))
    assert ops.average_pool(np.arange(4).reshape(1, 4, 1), 2).dtype == np.float32


def test_a_transposed_convolution_is_the_gradient_of_a_convolution():
    rng = np.random.default_rng(1)
    x, kernel = rng.standard_normal((2, 8, 8, 3)).astype("f"), rng.standard_normal((3, 3, 3, 4)).astype("f")
    with Trace() as trace:
        tensor = trace.input("x", x.shape, "float32")
        y = ops.conv(tensor, kernel, 2, "same")
        total = ops.sum(y * y)
    (found,) = run_graph(Graph(tuple(trace.inputs), tuple(gradients(total.value, trace.inputs))), [x])
    twice = 2 * ops.conv(x, kernel, 2, "same")
    np.testing.assert_allclose(found, ops.conv_transpose(twice, kernel, 2, "same"), rtol=1e-4, atol=1e-5)


def test_resizing_keeps_integers_in_their_range():
    x = np.zeros((6, 6, 1), np.uint8)
    x[2:4] = 255
    found = ops.image.resize(x, (9, 9), "bicubic")
    assert found.dtype == np.uint8
    assert (found.min(), found.max()) == (0, 255)


def test_weights_of_resizing_are_constants_of_the_program():
    with Trace() as trace:
        x = trace.input("x", (2, 8, 8, 3), "float32")
        found = ops.image.resize(x, (12, 5), "lanczos3", antialias=True)
    used = [node.primitive.name for node in Graph(tuple(trace.inputs), (found.value,)).nodes()]
    assert set(used) == {"input", "constant", "broadcast", "reshape", "dot"}


def test_nearest_neighbours_at_a_whole_factor_are_repeated():
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1)
    expected = x.repeat(2, 1).repeat(3, 2)
    assert np.array_equal(ops.image.resize(x, (4, 9), "nearest"), expected)


def test_an_identity_changes_nothing():
    x = np.random.default_rng(2).standard_normal((2, 5, 6, 3)).astype("f")
    identity = np.float32([1, 0, 0, 0, 1, 0, 0, 0])
    assert np.array_equal(ops.image.affine_transform(x, identity), x)
    corners = np.float32([[0, 0], [5, 0], [0, 4], [5, 4]])
    np.testing.assert_allclose(ops.image.perspective_transform(x, corners, corners), x, atol=1e-5)
    assert np.array_equal(ops.image.resize(x, (5, 6)), x)


def test_eight_numbers_divide_as_documented():
    """The perspective part of a transform, which Keras' backends leave out."""
    x = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
    found = ops.image.affine_transform(x, np.float32([1, 0, 0, 0, 1, 0, 0.25, 0]))
    places = np.arange(5) / (1 + 0.25 * np.arange(5))
    np.testing.assert_allclose(found.ravel(), places, rtol=1e-6)


def test_elastic_distortions_follow_their_seed():
    x = np.random.default_rng(3).standard_normal((2, 9, 8, 3)).astype("f")
    first, again, other = (ops.image.elastic_transform(x, 4.0, 1.0, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    random_numbers.set_random_seed(1)
    unseeded = [ops.image.elastic_transform(x, 4.0, 1.0) for _ in range(2)]
    assert not np.array_equal(*unseeded)
    np.testing.assert_allclose(ops.image.elastic_transform(x, 0.0, 1.0, seed=5), x, atol=1e-6)


def test_gradients_flow_to_coordinates():
    """Of a ramp, the derivative by the coordinate is its slope."""
    ramp = 3 * np.arange(6, dtype=np.float32)
    with Trace() as trace:
        at = trace.input("at", (1, 3), "float32")
        total = ops.sum(ops.image.map_coordinates(ramp, at, 1))
    graph = Graph(tuple(trace.inputs), tuple(gradients(total.value, trace.inputs)))
    np.testing.assert_allclose(run_graph(graph, [np.float32([[0.5, 2.25, 4.75]])])[0], [[3, 3, 3]])


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: ops.conv(ones(1, 4, 4, 3), ones(5, 5, 3, 2)),
            ShapeError,
            "does not fit into spatial axis 0",
        ),
        (lambda: ops.conv(ones(1, 4, 4, 3), ones(3, 3, 2, 2)), ShapeError, "do not divide into groups of 2"),
        (lambda: ops.conv(ones(1, 4, 4, 4), ones(3, 3, 2, 3)), ShapeError, "multiple of the groups"),
        (lambda: ops.conv(ones(4, 4, 3), ones(3, 3, 3, 2)), ShapeError, "a kernel of rank 3"),
        (lambda: ops.conv(ones(4, 3), ones(3, 3, 2)), ShapeError, "1 to 3 spatial axes"),
        (lambda: ops.conv(ones(1, 4, 3), ones(3, 3, 2), padding="full"), ArgumentError, "no padding 'full'"),
        (lambda: ops.conv(ones(1, 4, 4, 3), ones(1, 1, 3, 2), padding="causal"), ArgumentError, "1-D only"),
        (lambda: ops.conv(ones(1, 4, 3), ones(3, 3, 2), padding=((-1, 0),)), ArgumentError, "from 0 on"),
        (lambda: ops.conv(ones(1, 4, 3), ones(3, 3, 2), strides=0), ArgumentError, "`strides`"),
        (lambda: ops.conv(ones(1, 4, 3), ones(3, 3, 2), strides=1.5), ArgumentError, "1.5"),
        (lambda: ops.conv(ones(1, 4, 3), ones(3, 3, 2), data_format="NHWC"), ArgumentError, "channels_first"),
        (lambda: ops.depthwise_conv(ones(1, 4, 3), ones(3, 2, 2)), ShapeError, "for 2 channels"),
        (lambda: ops.conv_transpose(ones(1, 4, 3), ones(3, 3, 2)), ShapeError, "for 2 channels"),
        (
            lambda: ops.conv_transpose(ones(1, 4, 3), ones(3, 2, 3), padding="causal"),
            ArgumentError,
            "'valid' or 'same'",
        ),
        (
            lambda: ops.separable_conv(ones(1, 4, 3), ones(3, 3, 1), ones(2, 3, 2)),
            ShapeError,
            "pointwise kernel has size 1",
        ),
        (lambda: ops.max_pool(ones(1, 4, 4, 3), 5), ShapeError, "window of 5 does not fit"),
        (lambda: ops.max_pool(ones(1, 4, 4, 3), (2, 2, 2)), ArgumentError, "`pool_size`"),
        (lambda: ops.max_pool(ones(1, 4, 1), 2, 2, ((2, 0),)), ShapeError, "over padding alone"),
        (lambda: ops.average_pool(ones(3, 3), 2), ShapeError, "expand_dims"),
        (lambda: ops.unfold(ones(3, 3), 2), ShapeError, "channels, height, width"),
        (lambda: ops.fold(ones(1, 8, 5), 4, 2, stride=2), ShapeError, "do not fit windows"),
        (lambda: ops.image.extract_patches(ones(3, 3), 2), ShapeError, "rank 3 or 4"),
        (lambda: ops.image.resize(ones(3, 3), (2, 2)), ShapeError, "rank 3 or 4"),
        (
            lambda: ops.image.resize(ones(3, 3, 1), (2, 2), "billinear"),
            ArgumentError,
            "did you mean 'bilinear'",
        ),
        (lambda: ops.image.resize(ones(3, 3, 1), (0, 2)), ArgumentError, "`size`"),
        (
            lambda: ops.image.resize(
                ones(3, 3, 1), (2, 2), crop_to_aspect_ratio=True, pad_to_aspect_ratio=True
            ),
            ArgumentError,
            "not both",
        ),
        (lambda: ops.image.rgb_to_grayscale(ones(3, 4, 4, 2)), ShapeError, "three channels"),
        (lambda: ops.image.rgb_to_hsv(np.ones((4, 4, 3), np.uint8)), DTypeError, "divide by 255"),
        (lambda: ops.image.pad_images(ones(4, 4, 1), 1, 1, 1, 1, 9), ArgumentError, "exactly two of top"),
        (
            lambda: ops.image.pad_images(ones(4, 4, 1), 1, 1, None, 1, 3),
            ArgumentError,
            "do not fit a height of 4",
        ),
        (lambda: ops.image.crop_images(ones(4, 4, 1), 1, 3, 1, 3), ArgumentError, "do not fit a width of 4"),
        (lambda: ops.image.map_coordinates(ones(3, 3), ones(3, 5), 1), ShapeError, "one row of coordinates"),
        (lambda: ops.image.map_coordinates(ones(3, 3), ones(2, 5), 3), ArgumentError, "order 3"),
        (lambda: ops.image.map_coordinates(ones(3), ones(1, 5), 1, "edge"), ArgumentError, "fill_mode"),
        (lambda: ops.image.affine_transform(ones(3, 3, 1), ones(6)), ShapeError, "eight numbers"),
        (
            lambda: ops.image.perspective_transform(ones(3, 3, 1), ones(3, 2), ones(3, 2)),
            ShapeError,
            "four points",
        ),
        (lambda: ops.image.ssim(ones(12, 12, 1), ones(12, 13, 1)), ShapeError, "one shape"),
        (
            lambda: ops.image.scale_and_translate(ones(4, 4), (4, 2), [0.5, 1], [0.0], (1,), "linear"),
            ShapeError,
            "do not fit the images",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 8
