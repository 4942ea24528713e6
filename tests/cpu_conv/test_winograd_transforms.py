"""Winograd's transforms in registers: the matrices of the page, and convolutions and gradients by them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from convolve_cases import runnable_levels, target_of

from lamina.backends.cpu import jit, winograd
from lamina.backends.cpu.emit import ELEMENT, Builder, Module, Register, vector

Array = np.ndarray[Any, Any]
LANES = 4

TRANSFORMS: list[tuple[Callable[[Builder, winograd.Tile], list[list[Register]]], int, int]] = [
    (winograd.transform_inputs, winograd.INPUTS, 4),
    (winograd.transform_taps, winograd.TAPS, 4),
    (winograd.transform_products, 4, winograd.OUTPUTS),
    (winograd.transform_output_gradients, winograd.OUTPUTS, 4),
    (winograd.transform_tap_products, 4, winograd.TAPS),
]
INPUT_MATRIX = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]
TAP_MATRIX = [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
OUTPUT_MATRIX = [[1, 1, 1, 0], [0, 1, -1, 1]]
MATRICES = [
    np.array(INPUT_MATRIX),
    np.array(TAP_MATRIX),
    np.array(OUTPUT_MATRIX),
    np.array(OUTPUT_MATRIX).T,
    np.array(TAP_MATRIX).T,
]


@cache
def compiled(position: int, level: str, dtype: str) -> Callable[[Array], Array]:
    """A transform as a function of tiles (rows, columns, LANES)."""
    transform, read, written = TRANSFORMS[position]
    target, element = target_of(level), ELEMENT[dtype]
    module = Module(target.function_attributes)
    builder = Builder(module, "transform", [("ptr", "x"), ("ptr", "y")])
    source, result = builder.arguments

    def address(base: Register, width: int, row: int, column: int) -> Register:
        return builder.pointer(base, (row * width + column) * LANES, element)

    places: Sequence[int] = range(read)
    tile = [
        [builder.load(vector(element, LANES), address(source, read, i, j)) for j in places] for i in places
    ]
    for i, row in enumerate(transform(builder, tile)):
        for j, value in enumerate(row):
            builder.store(value, address(result, written, i, j))
    builder.finish()
    code = jit.load(jit.compile_object(module.text(), target))
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(code.address("transform"))

    def call(tile: Array, keep: object = code) -> Array:
        found = np.zeros((written, written, LANES), dtype)
        function(tile.ctypes.data, found.ctypes.data)
        return found

    return call


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("level", runnable_levels())
@pytest.mark.parametrize("position", range(len(TRANSFORMS)), ids=[entry[0].__name__ for entry in TRANSFORMS])
def test_a_transform_is_its_matrix_from_both_sides(position: int, level: str, dtype: str) -> None:
    side, matrix = TRANSFORMS[position][1], MATRICES[position]
    tile = np.random.default_rng(position).integers(-8, 9, (side, side, LANES)).astype(dtype)
    expected = np.einsum("ia,jb,abl->ijl", matrix, matrix, tile)
    np.testing.assert_array_equal(compiled(position, level, dtype)(tile), expected)


def test_transforms_make_convolutions_and_their_gradients(rng: np.random.Generator) -> None:
    inputs, taps, products, output_gradients, tap_products = (
        compiled(position, "generic", "float64") for position in range(5)
    )
    d, g = rng.normal(size=(4, 4, LANES)), rng.normal(size=(3, 3, LANES))
    expected = sum(g[i, j] * d[i : i + 2, j : j + 2] for i in range(3) for j in range(3))
    np.testing.assert_allclose(products(taps(g) * inputs(d)), expected, rtol=0, atol=1e-13)
    dy = rng.normal(size=(2, 2, LANES))
    expected = sum(dy[i, j] * d[i : i + 3, j : j + 3] for i in range(2) for j in range(2))
    np.testing.assert_allclose(tap_products(output_gradients(dy) * inputs(d)), expected, rtol=0, atol=1e-13)
