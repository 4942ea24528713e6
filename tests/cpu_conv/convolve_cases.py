"""Convolutions as test cases: a geometry, our kernels on it, and NumPy in float64."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from lamina.backends.cpu import jit
from lamina.backends.cpu.convolve import (
    ConvolvePlan,
    ConvolveSpec,
    WinogradFilterPlan,
    emit_convolve,
    plan_direct_filter,
    plan_outputs,
)
from lamina.backends.cpu.emit import Module
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import ArgumentError

Array = np.ndarray[Any, Any]
GUARD = 16  # elements around a result that must keep their value


@cache
def target_of(level: str) -> Target:
    """The host narrowed to a level."""
    before, config.cpu_features = config.cpu_features, level
    try:
        return Target.host()
    finally:
        config.cpu_features = before


def runnable_levels() -> list[str]:
    """The levels whose code this machine can run."""
    levels = []
    for level in ("avx512", "avx2", "generic"):
        try:
            target_of(level)
        except ArgumentError:
            continue
        levels.append(level)
    return levels


@dataclass(frozen=True)
class Case:
    """One convolution. channels, outputs: of all groups; padding: (before, after) per axis."""

    batch: int
    image: tuple[int, ...]
    channels: int
    kernel: tuple[int, ...]
    outputs: int
    strides: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    dtype: str = "float32"

    def __str__(self) -> str:
        def joined(values: Sequence[Any]) -> str:
            return "x".join(str(value) for value in values)

        parts = [
            f"{self.batch}_{joined(self.image)}_{self.channels}",
            f"{joined(self.kernel)}_{self.outputs}",
        ]
        parts += [
            f"{name}{joined(value)}" for name, value in (("s", self.strides), ("d", self.dilation)) if value
        ]
        parts += [f"p{joined([f'{low}.{high}' for low, high in self.padding])}"] if self.padding else []
        parts += [f"g{self.groups}"] if self.groups > 1 else []
        return "-".join(parts) + f"-{self.dtype}"

    @property
    def spec(self) -> ConvolveSpec:
        return ConvolveSpec.contiguous(
            self.batch, self.image, self.channels, self.kernel, self.outputs, self.strides, self.padding,
            self.dilation, self.groups, self.dtype,
        )  # fmt: skip


def sample(count: int, seed: int, **fixed: Any) -> list[Case]:
    """Random geometries whose output is not empty, with what is `fixed` kept."""
    chooser, cases = random.Random(seed), []
    while len(cases) < count:
        rank = chooser.choice((1, 2, 2, 2, 3))
        largest = {1: 40, 2: 15, 3: 7}[rank]
        groups = chooser.choice((1, 1, 1, 2, 3))
        fields: dict[str, Any] = {
            "batch": chooser.choice((1, 2, 3, 5)),
            "image": tuple(chooser.randint(1, largest) for _ in range(rank)),
            "channels": groups * chooser.choice((1, 2, 3, 7, 16, 17)),
            "kernel": tuple(chooser.choice((1, 2, 3, 3, 5)) for _ in range(rank)),
            "outputs": groups * chooser.choice((1, 3, 8, 16, 17, 33)),
            "strides": tuple(chooser.choice((1, 1, 2, 3)) for _ in range(rank)),
            "padding": tuple((chooser.randint(0, 2), chooser.randint(0, 2)) for _ in range(rank)),
            "dilation": tuple(chooser.choice((1, 1, 1, 2)) for _ in range(rank)),
            "groups": groups,
            "dtype": chooser.choice(["float32"] * 6 + ["float64", "float64", "int32", "float16", "bfloat16"]),
        }
        case = Case(**(fields | fixed))
        if all(extent > 0 for extent in case.spec.output):
            cases.append(case)
    return cases


def numbers(generator: np.random.Generator, shape: Sequence[int], dtype: str) -> Array:
    if dtypes.is_integer(dtype):
        return generator.integers(-7, 8, shape).astype(dtype)
    return generator.standard_normal(shape).astype(dtypes.to_numpy(dtype))


def patches(x: Array, spec: ConvolveSpec) -> Array:
    """The elements under each tap, by NumPy's own strides: (n, *output, *kernel, channels of all groups)."""
    rank = len(spec.image)
    high = [max(0, reach - low - extent) for reach, low, extent in zip(spec.reach, spec.low, spec.image)]
    padded = np.pad(x, [(0, 0), *zip(spec.low, high), (0, 0)])
    steps = padded.strides
    shape = (spec.batch, *spec.output, *spec.kernel, x.shape[-1])
    strides = (
        steps[0],
        *(steps[1 + axis] * spec.strides[axis] for axis in range(rank)),
        *(steps[1 + axis] * spec.dilation[axis] for axis in range(rank)),
        steps[-1],
    )
    return np.lib.stride_tricks.as_strided(padded, shape, strides)


def expected_outputs(x: Array, w: Array, spec: ConvolveSpec) -> Array:
    """y, group by group."""
    taken = patches(x, spec)
    pixels = spec.batch * int(np.prod(spec.output))
    parts = []
    for group in range(spec.groups):
        columns = taken[..., group * spec.channels : (group + 1) * spec.channels].reshape(pixels, -1)
        kernel = w[..., group * spec.outputs : (group + 1) * spec.outputs].reshape(-1, spec.outputs)
        parts.append(columns @ kernel)
    return np.concatenate(parts, -1).reshape(spec.batch, *spec.output, -1)


def compiled(plan: ConvolvePlan, **emission: Any) -> Callable[..., None]:
    """The kernel's function: (pointers ..., begin, end)."""
    module = Module(plan.target.function_attributes)
    emit_convolve(module, plan, "convolve", **emission)
    code = jit.load(jit.compile_object(module.text(), plan.target))
    pointers = 4 + len(emission.get("parameters", ()))
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * pointers, ctypes.c_int64, ctypes.c_int64)
    function = signature(code.address("convolve"))

    def call(*arguments: Any, keep: object = code) -> None:
        function(*arguments)

    return call


def run(
    plan: ConvolvePlan, a: Array, b: Array, result: Sequence[int], ranges: Sequence[tuple[int, int]]
) -> Array:
    """What the kernel makes of two operands, with the tasks in `ranges`; it writes nothing else."""
    filling = np.array(77).astype(a.dtype)
    flat = np.full(int(np.prod(result)) + 2 * GUARD, filling)
    function = compiled(plan)
    for begin, end in ranges:
        raw = np.full(plan.scratch_bytes + 192, 0xFF, np.uint8)
        start = -raw.ctypes.data % 64 + 64
        function(
            a.ctypes.data,
            b.ctypes.data,
            flat.ctypes.data + GUARD * flat.itemsize,
            raw.ctypes.data + start,
            begin,
            end,
        )
        assert np.all(raw[start + plan.scratch_bytes :] == 0xFF), "wrote beyond its scratch"
    outside = np.concatenate([flat[:GUARD], flat[len(flat) - GUARD :]])
    assert np.all(outside == filling), "wrote beyond its result"
    return flat[GUARD : len(flat) - GUARD].reshape(result)


def check(found: Array, expected: Array, scale: Array, depth: int, dtype: str) -> None:
    """Equal within the error of `depth` roundings. scale: the same sums of absolute values."""
    if not dtypes.is_float(dtype):
        np.testing.assert_array_equal(found, expected)
        return
    rounding = float(ml_dtypes.finfo(found.dtype).eps)
    if dtype in ("float16", "bfloat16"):  # summed in float32, rounded once
        bound = rounding * np.abs(expected) + 1e-6 * depth * scale + 1e-30
    else:
        bound = rounding * depth * scale + 1e-30
    assert np.all(np.abs(found.astype(np.float64) - expected) <= bound)


def outputs_of(
    case: Case, target: Target, ranges: Sequence[tuple[int, int]] | None = None, plan: Any = None
) -> Array:
    """y by our kernel, checked."""
    spec = case.spec
    plan = plan or plan_outputs(spec, target)
    generator = np.random.default_rng(len(str(case)))
    x = numbers(generator, (case.batch, *case.image, case.channels), case.dtype)
    w = numbers(generator, (*case.kernel, spec.channels, case.outputs), case.dtype)
    found = run(plan, x, w, (case.batch, *spec.output, case.outputs), ranges or [(0, plan.tasks)])
    wide = np.float64 if dtypes.is_float(case.dtype) else np.int64
    x, w = x.astype(wide), w.astype(wide)
    depth = spec.channels * int(np.prod(spec.kernel))
    check(
        found, expected_outputs(x, w, spec), expected_outputs(np.abs(x), np.abs(w), spec), depth, case.dtype
    )
    return found


def filter_of(
    case: Case, target: Target, ranges: Sequence[tuple[int, int]] | None = None, plan: Any = None
) -> Array:
    """The gradient of w by our kernel, in its parts, checked."""
    spec = case.spec
    plan = plan or plan_direct_filter(spec, target)
    generator = np.random.default_rng(len(str(case)))
    x = numbers(generator, (case.batch, *case.image, case.channels), case.dtype)
    y = numbers(generator, (case.batch, *spec.output, case.outputs), case.dtype)
    shape = (plan.parts, *case.kernel, spec.channels, case.outputs)
    found = run(plan, x, y, shape, ranges or [(0, plan.tasks)])
    wide = np.float64 if dtypes.is_float(case.dtype) else np.int64
    x, y = x.astype(wide), y.astype(wide)
    depth = case.batch * int(np.prod(spec.output))
    expected, scale = expected_filter(x, y, spec), expected_filter(np.abs(x), np.abs(y), spec)
    if isinstance(plan, WinogradFilterPlan):  # a tile's four inputs and two gradients meet along each axis
        scale, depth = np.full_like(scale, 4 * scale.max(axis=(0, 1))), depth + 8
    check(found.sum(0), expected, scale, depth, case.dtype)
    return found


def expected_filter(x: Array, y: Array, spec: ConvolveSpec) -> Array:
    """The gradient of w, group by group."""
    taken = patches(x, spec)
    pixels = spec.batch * int(np.prod(spec.output))
    parts = []
    for group in range(spec.groups):
        rows = taken[..., group * spec.channels : (group + 1) * spec.channels].reshape(pixels, -1)
        columns = y[..., group * spec.outputs : (group + 1) * spec.outputs].reshape(pixels, -1)
        parts.append((rows.T @ columns).reshape(*spec.kernel, spec.channels, spec.outputs))
    return np.concatenate(parts, -1)
