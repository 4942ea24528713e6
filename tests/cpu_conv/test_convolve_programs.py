"""Convolutions in programs, native against reference: gradients, what is fused, pooling seen through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import convolve_cases
import numpy as np
import pytest

from lamina import ops
from lamina.backends.base import Program
from lamina.backends.cpu import CpuBackend
from lamina.backends.cpu.convolve_nodes import CONVOLUTIONS, FILTER_GRADIENTS
from lamina.backends.cpu.convolve_winograd import conv_winograd, winograd_taps
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.fuse import CONTRACT, Group, fuse
from lamina.backends.reference import ReferenceBackend
from lamina.core.config import config
from lamina.function import gradients, trace_program
from lamina.ir import TensorType
from lamina.ir import primitives as p
from lamina.ir.structure import structure_key
from lamina.passes import pipeline

Function = Callable[..., Any]


def traced(function: Function, shapes: Sequence[Sequence[int]], dtype: str = "float32") -> Program:
    """A program that gives the function's value and its gradients for all inputs."""

    def step(*inputs: Any) -> Any:
        result = function(*inputs)
        slope = ops.sin(ops.cast(ops.reshape(ops.arange(result.size), result.shape), result.dtype))
        return result, *gradients(ops.sum(result * slope), list(inputs))

    return trace_program(step, [TensorType(tuple(shape), dtype) for shape in shapes]).program


def agree(program: Program, seed: int = 0) -> None:
    """Both backends give the same numbers, to the rounding of float32 sums."""
    generator = np.random.default_rng(seed)
    arrays = [generator.standard_normal(value.shape).astype(value.dtype) for value in program.inputs]
    key = structure_key(program.graph)
    found, finite = CpuBackend().compile(program, key).run((), arrays)
    expected, _ = ReferenceBackend().compile(program, key).run((), arrays)
    assert finite
    for one, other in zip(found, expected, strict=True):
        scale = max(1.0, float(np.abs(other).max()))
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5 * scale)


def groups_of(program: Program) -> list[Group]:
    return fuse(decompose(pipeline.run(program.outputs))).groups


def head_of(group: Group) -> Any:
    """The primitive that heads a group; None for pointwise work."""
    return group.head.primitive if group.head is not None else None


def heads(program: Program) -> list[Any]:
    return [group.head.primitive for group in groups_of(program) if group.head is not None]


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("image", "kernel", "how"),
    [
        ((2, 9, 8, 3), (3, 3, 3, 5), {}),
        ((2, 9, 8, 6), (3, 2, 6, 18), {"strides": 2}),
        ((3, 7, 9, 4), (3, 3, 4, 17), {"dilation_rate": 2}),
        ((2, 11, 10, 5), (2, 3, 5, 7), {"strides": (3, 2)}),
        ((4, 33, 7), (5, 7, 20), {"strides": 3}),
        ((1, 5, 6, 7, 3), (2, 3, 3, 3, 6), {"strides": (1, 2, 1)}),
        ((2, 8, 8, 16), (3, 3, 4, 32), {}),
        ((2, 8, 8, 6), (3, 3, 1, 6), {}),
        ((2, 8, 8, 5), (1, 1, 5, 9), {"strides": 2}),
        ((2, 9, 8, 64), (1, 1, 64, 80), {}),
        ((2, 9, 8, 32), (1, 1, 32, 80), {}),
    ],
)
def test_a_convolution_and_its_gradients(image: Any, kernel: Any, how: Any, padding: str) -> None:
    def layer(x: Any, w: Any, bias: Any) -> Any:
        return ops.relu(ops.conv(x, w, padding=padding, **how) + bias)

    agree(traced(layer, [image, kernel, kernel[-1:]]))


@pytest.mark.parametrize(
    ("shape", "kernel", "how"),
    [
        ((9, 8), (1, 1), {"strides": (2, 2)}),
        ((7, 8), (1, 1), {"strides": (2, 3), "padding": ((1, 0), (2, 1))}),
        ((8, 9), (3, 1), {"strides": (1, 2), "padding": ((1, 1), (0, 0))}),
        ((9, 7), (2, 2), {"strides": (2, 2), "dilation": (2, 2)}),
        ((8, 8), (1, 1), {"strides": (2, 2), "groups": 2}),
        ((4, 1, 5), (1, 1, 1), {"strides": (3, 2, 2)}),
        ((10,), (1,), {"strides": (4,)}),
    ],
)
def test_zeros_lie_between_elements_of_which_no_others_see_taps(shape: Any, kernel: Any, how: Any) -> None:
    rank = len(shape)
    attributes = {"padding": ((0, 0),) * rank, "dilation": (1,) * rank, "groups": 1, **how}
    weights = (*kernel, 16 // attributes["groups"], 8)

    def backward(x: Any, w: Any) -> Any:
        y = p.conv(x, w, **attributes)
        return p.add(p.conv_input_grad(p.sin(y), w, shape=shape, **attributes), x)

    types = [TensorType(extents, "float32") for extents in ((2, *shape, 16), weights)]
    program = trace_program(backward, types).program
    values = [value for group in groups_of(program) for value in group.values]
    assert p.pad in {value.primitive for value in values}
    assert p.concatenate not in {value.primitive for value in values}
    agree(program)


def test_the_gradient_of_elements_that_see_no_taps_is_zero() -> None:
    def backward(y: Any, w: Any) -> Any:
        how = {"strides": (2,), "padding": ((1, 2),), "dilation": (1,), "groups": 1}
        return p.conv_input_grad(y, w, shape=(1,), **how)

    types = [TensorType(extents, "float32") for extents in ((2, 2, 8), (1, 16, 8))]
    agree(trace_program(backward, types).program)


@pytest.mark.parametrize(("height", "width"), [(9, 12), (8, 8), (7, 5)])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("channels", [1, 16, 19])
def test_relu_and_pooling_after_a_convolution(height: int, width: int, padding: str, channels: int) -> None:
    def layers(x: Any, w: Any, bias: Any) -> Any:
        return ops.max_pool(ops.relu(ops.conv(x, w, padding=padding) + bias), (2, 2))

    program = traced(layers, [(3, height, width, channels), (3, 3, channels, 21), (21,)])
    agree(program)
    assert all(value.primitive is not p.pad for group in groups_of(program) for value in group.values)


def test_overlapping_pooling_after_a_convolution() -> None:
    def layers(x: Any, w: Any) -> Any:
        return ops.max_pool(ops.relu(ops.conv(x, w)), 3, 2)

    agree(traced(layers, [(2, 12, 11, 3), (3, 3, 3, 5)]))


def test_a_pooled_gradient_that_others_need_is_kept() -> None:
    def layers(x: Any, w: Any) -> Any:
        hidden = ops.tanh(ops.conv(x, w))
        return ops.max_pool(hidden, 2) + ops.average_pool(ops.exp(hidden), 2)

    agree(traced(layers, [(2, 10, 11, 3), (3, 3, 3, 20)]))


def test_bias_and_relu_are_done_on_the_tile() -> None:
    def layer(x: Any, w: Any, bias: Any) -> Any:
        return ops.relu(ops.conv(x, w) + bias)

    program = trace_program(
        layer, [TensorType(shape, "float32") for shape in [(2, 9, 9, 3), (3, 3, 3, 8), (8,)]]
    ).program
    (group,) = groups_of(program)
    assert group.kind == CONTRACT
    assert [value.primitive for value in group.values] == [p.conv, p.add, p.maximum]


def test_small_kernels_are_summed_in_parts() -> None:
    def layer(x: Any, w: Any) -> Any:
        return ops.conv(x, w)

    program = traced(layer, [(32, 30, 30, 8), (3, 3, 8, 16)])
    (head,) = [
        group.head for group in groups_of(program) if group.head and group.head.primitive in FILTER_GRADIENTS
    ]
    assert 32 % head.attributes["parts"] == 0
    assert set(heads(program)) <= CONVOLUTIONS | {conv_winograd, winograd_taps}
    agree(program)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_floats(dtype: str) -> None:
    def layer(x: Any, w: Any) -> Any:
        return ops.conv(x, w, padding="same")

    types = [TensorType(shape, dtype) for shape in [(2, 9, 8, 3), (3, 3, 3, 5)]]
    program = trace_program(layer, types).program
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(value.shape).astype(value.dtype) for value in program.inputs]
    key = structure_key(program.graph)
    (found,), _ = CpuBackend().compile(program, key).run((), arrays)
    (expected,), _ = ReferenceBackend().compile(program, key).run((), arrays)
    rounding = {"float64": 1e-13, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
    np.testing.assert_allclose(
        found.astype(np.float64), expected.astype(np.float64), rtol=rounding, atol=rounding
    )


def test_pixels_that_no_window_reaches_are_not_computed() -> None:
    def layers(x: Any, w: Any, bias: Any) -> Any:
        return ops.max_pool(ops.relu(ops.conv(x, w) + bias), 2)

    program = traced(layers, [(2, 13, 14, 16), (3, 3, 16, 16), (16,)])
    (shape,) = {group.head.types[0].shape for group in groups_of(program) if head_of(group) is p.conv}
    assert shape == (2, 10, 12, 16)
    agree(program)


def test_pixels_that_others_see_are_computed() -> None:
    def layers(x: Any, w: Any) -> Any:
        hidden = ops.relu(ops.conv(x, w))
        return ops.sum(ops.max_pool(hidden, 2)) + ops.sum(ops.square(hidden))

    program = traced(layers, [(2, 13, 14, 3), (3, 3, 3, 16)])
    (shape,) = {group.head.types[0].shape for group in groups_of(program) if head_of(group) is p.conv}
    assert shape == (2, 11, 12, 16)
    agree(program)


def _two_layers(x: Any, w: Any, bias: Any, v: Any) -> Any:
    hidden = ops.max_pool(ops.relu(ops.conv(x, w) + bias), 2)
    return ops.max_pool(ops.relu(ops.conv(hidden, v, padding="same")), 2)


TWO_LAYERS = [(8, 15, 16, 2), (3, 3, 2, 19), (19,), (3, 3, 19, 21)]


@pytest.mark.parametrize("level", convolve_cases.runnable_levels())
def test_two_layers_at_every_width(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "cpu_features", level)
    agree(traced(_two_layers, TWO_LAYERS))


def test_every_number_of_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    program = traced(_two_layers, [(64, 27, 28, 2), *TWO_LAYERS[1:]])
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(value.shape).astype(value.dtype) for value in program.inputs]
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(config, "num_threads", threads)
        made = CpuBackend().compile(program, structure_key(program.graph))
        assert made.report.threads == threads
        found.append(made.run((), arrays)[0])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
