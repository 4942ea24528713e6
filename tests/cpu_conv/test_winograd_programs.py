"""Winograd's transforms in programs, native against reference: what takes them, gradients, what is fused."""

from __future__ import annotations

from typing import Any

import convolve_cases
import numpy as np
import pytest
from test_convolve_programs import agree, heads, traced

from lamina import ops
from lamina.backends.cpu import CpuBackend
from lamina.backends.cpu.convolve_winograd import conv_winograd, winograd_taps
from lamina.core.config import config
from lamina.function import trace_program
from lamina.ir import TensorType
from lamina.ir import primitives as p
from lamina.ir.structure import structure_key


def residual(x: Any, w: Any, bias: Any, v: Any) -> Any:
    """Two layers with a shortcut; the masks and sums of their gradients are fused, too."""
    hidden = ops.relu(ops.conv(x, w, padding="same") + bias)
    return ops.relu(ops.conv(hidden, v, padding="same") + x)


def pooled(x: Any, w: Any, bias: Any, v: Any) -> Any:
    hidden = ops.relu(ops.conv(x, v, padding="same"))
    return ops.max_pool(ops.relu(ops.conv(hidden, w) + bias), 2)


def long_epilogue(x: Any, w: Any, bias: Any, v: Any) -> Any:
    hidden = ops.gelu(ops.conv(x, w / 16) + bias, approximate=False)
    return ops.tanh(ops.conv(hidden, v / 16)) * ops.exp(bias)


LAYERS = {"residual": residual, "pooled": pooled, "long epilogue": long_epilogue}


@pytest.mark.parametrize("level", convolve_cases.runnable_levels())
@pytest.mark.parametrize("image", [(14, 16), (13, 15), (9, 22)])
@pytest.mark.parametrize("layer", LAYERS)
def test_layers_and_their_gradients(
    layer: str, image: Any, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "cpu_features", level)
    channels = 20
    taps = (3, 3, channels, channels)
    program = traced(LAYERS[layer], [(6, *image, channels), taps, (channels,), taps])
    found = heads(program)
    assert found.count(conv_winograd) == 4
    assert found.count(winograd_taps) == 4
    agree(program)


@pytest.mark.parametrize("padding", [((2, 2), (0, 1)), ((1, 0), (2, 1)), ((0, 0), (2, 2))])
def test_explicit_padding_and_other_channels(padding: Any) -> None:
    def layer(x: Any, w: Any) -> Any:
        return p.conv(x, w, strides=(1, 1), padding=padding, dilation=(1, 1), groups=1)

    program = traced(layer, [(4, 12, 13, 24), (3, 3, 24, 41)])
    assert heads(program).count(conv_winograd) == 2
    agree(program)


@pytest.mark.parametrize(
    ("image", "kernel", "how"),
    [
        ((4, 12, 12, 24), (3, 3, 24, 40), {"strides": 2}),
        ((4, 12, 12, 24), (3, 3, 24, 40), {"dilation_rate": 2}),
        ((4, 12, 12, 24), (3, 3, 12, 40), {}),
        ((4, 12, 12, 24), (3, 2, 24, 40), {}),
        ((4, 3, 3, 64), (3, 3, 64, 64), {"padding": "same"}),  # 2 x 2 tiles for 3 x 3 pixels
        ((4, 32, 32, 3), (3, 3, 3, 40), {}),
        ((1, 6, 6, 8), (3, 3, 8, 8), {}),  # little work
    ],
)
def test_others_stay_direct(image: Any, kernel: Any, how: Any) -> None:
    program = traced(lambda x, w: ops.conv(x, w, **how), [image, kernel])
    assert conv_winograd not in heads(program)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_floats_stay_direct(dtype: str) -> None:
    program = traced(ops.conv, [(4, 12, 12, 24), (3, 3, 24, 40)], dtype)
    assert conv_winograd not in heads(program)


def test_taps_from_a_view() -> None:
    def layer(x: Any, w: Any) -> Any:
        return ops.conv(x, ops.transpose(w, (1, 0, 3, 2))[..., 8:])

    program = traced(layer, [(4, 12, 12, 24), (3, 3, 48, 24)])
    assert conv_winograd in heads(program)
    agree(program)


def test_every_number_of_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    taps = (3, 3, 20, 20)
    program = traced(residual, [(8, 19, 18, 20), taps, (20,), taps])
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(value.shape).astype(value.dtype) for value in program.inputs]
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(config, "num_threads", threads)
        found.append(CpuBackend().compile(program, structure_key(program.graph)).run((), arrays)[0])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_the_report_says_so() -> None:
    types = [TensorType(shape, "float32") for shape in [(4, 12, 12, 24), (3, 3, 24, 40)]]
    program = trace_program(ops.conv, types).program
    report = CpuBackend().compile(program, structure_key(program.graph)).report
    assert any(kernel.why.startswith("winograd: 16 products") for kernel in report.kernels)
