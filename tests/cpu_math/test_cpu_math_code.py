"""The generated code itself: nothing is called, few instructions, the same bits for every number of lanes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from cpu_math_harness import (
    ASSEMBLY_LEVELS,
    LEVELS,
    instructions,
    instructions_per_round,
    kernel_text,
    listing,
    operand_dtypes_of,
    result_of,
    run,
)

from lamina.backends.cpu import jit, math
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.core.errors import DTypeError
from lamina.ir import primitives as p
from lamina.ir.primitives import ELEMENTWISE

NAMES = [primitive.name for primitive in math.TABLE]
KINDS = {"floats": ("float32", "float64"), "integers": ("int32", "uint8", "int64"), "booleans": ("bool",)}


def test_the_table_is_total():
    elementwise = {primitive for primitive in p.TABLE.values() if primitive.has(ELEMENTWISE)}
    assert set(math.TABLE) | {p.cast} == elementwise
    # The order of the sections and rows is the same everywhere.
    order = [name for name in p.TABLE if name in NAMES]
    assert order == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_rows_have_what_the_type_rules_allow(name):
    for kind, kinds in KINDS.items():
        try:
            result_of(name, operand_dtypes_of(name, kinds[0]))
            allowed = True
        except DTypeError:
            allowed = False
        assert (getattr(math.TABLE[p.TABLE[name]], kind) is not None) == allowed, kind


def calls(assembly):
    """Calls, and jumps to other functions."""
    pattern = re.compile(r"(callq?|blr?)\s|.*@PLT|(jmp|b)\s+[A-Za-z_]")
    return [line for line in instructions(assembly) if pattern.match(line)]


@pytest.mark.parametrize("level", ASSEMBLY_LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_called(name, level):
    for kind, kinds in KINDS.items():
        if getattr(math.TABLE[p.TABLE[name]], kind) is None:
            continue
        for dtype in kinds:
            operands = operand_dtypes_of(name, dtype)
            for lanes in (1, 16):
                found = calls(listing(name, operands, result_of(name, operands), lanes, level))
                assert not found, (dtype, lanes, found)


@pytest.mark.parametrize("level", ASSEMBLY_LEVELS)
def test_no_cast_calls_anything(level):
    for source in dtypes.ALL:
        for result in dtypes.ALL:
            for lanes in (1, 8):
                found = calls(listing("cast", [source], result, lanes, level))
                assert not found, (source, result, lanes, found)


@pytest.mark.parametrize("off", ["-f16c", "-avx", "-fma", "-sse4.1,-avx", "-avx512f"])
def test_features_switched_off_are_not_used(off):
    """A processor with a hole in its features gets the portable code, not a call."""
    avx512 = Target.named("avx512")
    narrow = "avx" in off
    target = replace(
        avx512,
        features=f"{avx512.features},+f16c,{off}",
        vector_bytes=16 if narrow else 64,
        fma="fma" not in off and not narrow,
    )
    for name, source, result in (
        ("floor", "float32", "float32"), ("exp", "float64", "float64"), ("cast", "float16", "float32"),
        ("cast", "float32", "float16"),
    ):  # fmt: skip
        for lanes in (1, 16):
            text = kernel_text(name, [source], result, lanes, target, looped=False)
            assert not calls(jit.assembly(text, target)), (name, source, lanes)


def test_a_call_would_be_found():
    target = Target.named("sse2")
    text = kernel_text("exp", ["float32"], "float32", 4, target, looped=False)
    with_call = text.replace("fmul <4 x float>", "call <4 x float> @llvm.exp.v4f32(<4 x float> %v1) ;", 1)
    with_call += "declare <4 x float> @llvm.exp.v4f32(<4 x float>)\n"
    assert calls(jit.assembly(with_call, target))


# Instructions per vector, load and store included: AVX-512 and AVX2, float32 and float64.
INSTRUCTIONS = {
    "exp": (17, 22, 22, 31),
    "expm1": (24, 26, 29, 36),
    "log": (23, 46, 38, 75),
    "log1p": (38, 50, 54, 83),
    "sqrt": (2, 2, 2, 2),
    "rsqrt": (3, 3, 3, 3),
    "sin": (31, 41, 38, 56),
    "cos": (30, 41, 38, 56),
    "tan": (32, 41, 38, 57),
    "arcsin": (18, 24, 25, 37),
    "arctan": (21, 25, 36, 53),
    "tanh": (23, 26, 28, 36),
    "sigmoid": (22, 28, 27, 37),
    "erf": (31, 42, 57, 86),
    "maximum": (5, 5, 5, 5),
    "absolute": (2, 2, 2, 2),
    "floor": (2, 2, 2, 2),
}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_instructions_per_vector(name):
    places = [(dtype, level) for dtype in KINDS["floats"] for level in ("avx512", "avx2")]
    for (dtype, level), limit in zip(places, INSTRUCTIONS[name]):
        target = Target.named(level)
        operands = operand_dtypes_of(name, dtype)
        assembly = jit.assembly(kernel_text(name, operands, dtype, target.lanes(dtype), target), target)
        assert 0 < instructions_per_round(assembly) <= limit, (dtype, level)


FLOAT_FUNCTIONS = [
    name for name in NAMES if math.TABLE[p.TABLE[name]].floats is not None and name != "select"
]


@pytest.mark.parametrize("dtype", KINDS["floats"])
@pytest.mark.parametrize("name", FLOAT_FUNCTIONS)
def test_every_number_of_lanes_gives_the_same_bits(name, dtype):
    rng = np.random.default_rng(17)
    word = np.uint32 if dtype == "float32" else np.uint64
    count, arity = 480, p.TABLE[name].arity
    patterns = rng.integers(0, np.iinfo(word).max, (arity, count), dtype=word).view(dtype)
    near = (rng.standard_normal((arity, count)) * 10.0 ** rng.uniform(-3, 2, (arity, count))).astype(dtype)
    operands = np.concatenate([patterns, near], 1)
    for level in LEVELS:
        alone = run(name, *operands, lanes=1, level=level)
        for lanes in (4, 8, 16) if level == "host" else (8,):
            together = run(name, *operands, lanes=lanes, level=level)
            # NaN has many patterns and no meaning in them.
            same = (alone.view(np.uint8) == together.view(np.uint8)).reshape(alone.size, -1).all(1)
            differ = ~same & ((alone == alone) | (together == together))
            assert not differ.any(), (level, lanes, operands[:, differ][:, :3], alone[differ][:3])
