"""Convolutions that keep channels apart, native against reference: edges, widths of vectors, threads."""

from __future__ import annotations

from typing import Any

import convolve_cases
import numpy as np
import pytest

from lamina.backends.base import Program
from lamina.backends.cpu import CpuBackend
from lamina.backends.cpu.convolve_depthwise import is_depthwise, phases_of
from lamina.backends.reference import ReferenceBackend
from lamina.core.config import config
from lamina.ir import primitives as p
from lamina.ir.graph import TensorType
from lamina.ir.structure import structure_key
from lamina.ir.trace import new_input

Ints = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


def program_of(
    batch: int, image: Ints, channels: int, kernel: Ints, strides: Ints, padding: Padding, dilation: Ints,
    dtype: str = "float32", filters: int = 1,
) -> Program:  # fmt: skip
    """y, and the gradients of x and w for a given one of y, each with something fused behind."""
    how: dict[str, Any] = {
        "strides": strides, "padding": padding, "dilation": dilation, "groups": channels,
    }  # fmt: skip
    x = new_input("x", TensorType((batch, *image, channels), dtype))
    w = new_input("w", TensorType((*kernel, 1, channels * filters), dtype))
    y = p.conv(x, w, **how)
    sent = new_input("sent", y.type)
    results = (
        y,
        p.conv_input_grad(sent, w, shape=image, **how),
        p.conv_filter_grad(x, sent, shape=kernel, **how),
    )
    assert all(is_depthwise(value.node) == (filters == 1) for value in results)
    return Program(
        "depthwise", (), (x, w, sent), tuple(p.maximum(p.add(r, r), p.negative(r)) for r in results)
    )


def arrays_for(program: Program, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal(value.shape).astype(value.dtype) for value in program.inputs]


def run(program: Program, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return CpuBackend().compile(program, structure_key(program.graph)).run((), arrays)[0]


def expected(program: Program, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return ReferenceBackend().compile(program, structure_key(program.graph)).run((), arrays)[0]


def agree(program: Program) -> None:
    arrays = arrays_for(program)
    tolerance = 1e-5 if program.inputs[0].dtype == "float32" else 1e-13
    for one, other in zip(run(program, arrays), expected(program, arrays), strict=True):
        scale = max(1.0, float(np.abs(other).max()))
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)


SAME = ((1, 1), (1, 1))
CASES = {
    "same": (3, (9, 8), 16, (3, 3), (1, 1), SAME, (1, 1)),
    "strided": (4, (16, 17), 33, (3, 3), (2, 2), ((0, 1), (0, 1)), (1, 1)),
    "strides longer than the kernel": (2, (11, 10), 8, (2, 2), (3, 3), ((0, 0), (0, 0)), (1, 1)),
    "dilated": (2, (12, 13), 5, (3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2)),
    "dilated and strided": (2, (13, 14), 17, (3, 3), (2, 2), ((2, 1), (1, 2)), (3, 3)),
    "five taps": (1, (7, 21), 40, (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1)),
    "one line": (8, (31,), 20, (4,), (2,), ((3, 0),), (1,)),
    "a single pixel": (2, (1, 1), 3, (3, 3), (1, 1), SAME, (1, 1)),
    "no padding": (2, (6, 19), 2, (2, 3), (1, 1), ((0, 0), (0, 0)), (1, 1)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_values(name: str, dtype: str) -> None:
    agree(program_of(*CASES[name], dtype))


@pytest.mark.parametrize("name", ["same", "strided", "one line"])
def test_several_filters_for_each_channel(name: str) -> None:
    agree(program_of(*CASES[name], filters=3))


@pytest.mark.parametrize("level", convolve_cases.runnable_levels())
def test_every_width_of_vectors(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "cpu_features", level)
    agree(program_of(*CASES["strided"]))


def test_every_number_of_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_of(32, (20, 20), 48, (3, 3), (1, 1), SAME, (1, 1))
    arrays, found = arrays_for(program), []
    for threads in (1, 2, 3):
        monkeypatch.setattr(config, "num_threads", threads)
        made = CpuBackend().compile(program, structure_key(program.graph))
        assert made.report.threads == threads
        found.append(made.run((), arrays)[0])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("at", [(0, 0, 0, 0), (1, 4, 4, 3), (2, 8, 7, 15)])
@pytest.mark.parametrize(("operand", "results"), [(0, (0, 2)), (1, (0,)), (2, (1, 2))])
def test_zeros_around_the_image_count_as_in_the_definition(operand: int, results: Ints, at: Ints) -> None:
    """An infinite element reaches the same results, and a padded zero times infinity is no number."""
    program = program_of(*CASES["same"])
    arrays = arrays_for(program)
    place = tuple(min(wanted, extent - 1) for wanted, extent in zip(at, arrays[operand].shape))
    arrays[operand][place] = np.inf
    with np.errstate(invalid="ignore"):
        pairs = list(zip(run(program, arrays), expected(program, arrays), strict=True))
    for one, other in (pairs[number] for number in results):
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
        np.testing.assert_array_equal(np.isinf(one), np.isinf(other))


def test_phases_cover_each_place_and_each_tap_once() -> None:
    """Backward, every pair of a pixel of y and a tap that lies in the image is met by one phase."""
    image, output, taps, stride, dilation, low = 11, 6, 3, 2, 1, 1
    met = {
        (phase.first + phase.every * j, tap, j * phase.step + offset)
        for phase in phases_of(image, output, taps, stride, dilation, low, back=True)
        for j in range(phase.count)
        for tap, offset in phase.taps
        if phase.is_inside(j, offset)
    }
    wanted = {
        (pixel * stride + tap * dilation - low, tap, pixel)
        for pixel in range(output)
        for tap in range(taps)
        if 0 <= pixel * stride + tap * dilation - low < image
    }
    assert met == wanted
