"""Every sample row of every primitive on the native backend, within 4 times NumPy's own error plus 2 ulp."""

import zlib

import numpy as np
import pytest
from interp_definitions import DEFINITIONS
from test_interp_definitions import BY_PRIMITIVE, check

from lamina.backends.base import Program
from lamina.backends.cpu import CpuBackend
from lamina.core.config import config
from lamina.ir.bind import apply
from lamina.ir.graph import constant_type
from lamina.ir.primitives import TABLE
from lamina.ir.structure import structure_key
from lamina.ir.trace import new_input

ELEMENTARY = [
    "exp",
    "log",
    "tanh",
    "sigmoid",
    "power",
    "maximum",
    "cast",
    "reduce_sum",
    "dot",
    "gather",
    "sort",
    "pad",
    "concatenate",
    "transpose",
    "conv",
    "conv_input_grad",
    "conv_filter_grad",
    "attention",
    "attention_grad",
    "max_window",
    "gather_window",
    "scatter_window",
    "sum_window",
    "spread_window",
    "scatter_add",
]


def rows_of(name):
    """The rows of a primitive as one program: inputs, arrays, (sample, operands, outputs) per row."""
    inputs, arrays, rows = [], [], []
    for sample in BY_PRIMITIVE[name]:
        operands, attributes = sample.build(np.random.default_rng(zlib.crc32(sample.id.encode())))
        values = [new_input("x", constant_type(array)) for array in operands]
        inputs += values
        arrays += operands
        rows.append((sample, operands, attributes, apply(TABLE[name], values, attributes)))
    return inputs, arrays, rows


def verify(name):
    inputs, arrays, rows = rows_of(name)
    outputs = tuple(value for *_, values in rows for value in values)
    program = Program(name, (), tuple(inputs), outputs)
    found, finite = CpuBackend().compile(program, structure_key(program.graph)).run((), arrays)
    assert finite
    results = iter(found)
    for sample, operands, attributes, values in rows:
        with np.errstate(all="ignore"):
            exact = DEFINITIONS[name](*operands, **attributes)
        for value, wanted in zip(values, exact if isinstance(exact, tuple) else (exact,), strict=True):
            try:
                check(sample, operands, next(results), wanted, value.dtype)
            except AssertionError as error:
                raise AssertionError(f"{sample.id}: {error}") from None


@pytest.mark.parametrize("name", sorted(set(TABLE) - {"input"}))
def test_native_code_agrees_with_the_definition(name):
    verify(name)


@pytest.mark.parametrize("level", ["avx2", "sse2"])
@pytest.mark.parametrize("name", ELEMENTARY)
def test_narrower_vectors_agree_with_the_definition(name, level, monkeypatch):
    monkeypatch.setitem(vars(config), "cpu_features", level)
    verify(name)
