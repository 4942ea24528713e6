"""Sample rows for every primitive, as data: the tests of interpreter, backends and gradients all run them.

A Sample builds operands and attributes from a generator. Ids read `<primitive>-<dtype>-<what is special>`,
where "strided" and "transposed" operands are views with gaps or with their axes in another order. Here are
the elementwise primitives; `primitive_samples_windows` has those with windows, `primitive_samples_attention`
attention, `primitive_samples_control` loops and branches, `primitive_samples_shaped` the others. Section
order as in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import primitive_samples_attention  # noqa: F401 - adds its rows
import primitive_samples_control  # noqa: F401
from primitive_samples_shaped import SAMPLES
from primitive_samples_windows import WINDOWS
from sample_building import (
    EXTENTS,
    FLOATS,
    INTEGERS,
    NUMBERS,
    Arrays,
    Domain,
    Random,
    Sample,
    add,
    as_kind,
    away_from,
    between,
    integers,
    normal,
    operand,
    pairs,
    special_floats,
    special_integers,
    specials,
    strided,
    transposed,
)

from lamina.core import dtypes

__all__ = ["DIFFERENTIABLE", "SAMPLES", "WINDOWS", "Sample"]

# Operand positions through which derivatives flow; () says: not differentiable.
DIFFERENTIABLE: dict[str, tuple[int, ...]] = {}


def differentiable(names: str, *positions: int) -> None:
    for name in names.split():
        DIFFERENTIABLE[name] = positions


def elementwise(
    names: str,
    kinds: Iterable[str],
    *domains: Domain,
    smooth: bool = True,
    specials_too: bool = True,
) -> None:
    """Rows of an elementwise primitive with one operand per domain."""
    for name in names.split():
        for dtype in kinds:
            main = dtype in ("float32", "int32")
            shapes = [(extent,) for extent in EXTENTS] if dtype == "float32" else [(17,), (33,)]
            shapes += [(), (3, 17), (2, 3, 5)] if main else []
            for shape in shapes:
                _elementwise_row(name, dtype, domains, shape, None)
            if main:
                _elementwise_row(name, dtype, domains, (7, 33), strided)
                _elementwise_row(name, dtype, domains, (7, 33), transposed)
            if specials_too:
                _special_row(name, dtype, len(domains))
        if smooth and "float64" in kinds:
            _elementwise_row(name, "float64", domains, (2, 3), None, smooth=True)


def _elementwise_row(
    name: str,
    dtype: str,
    domains: tuple[Domain, ...],
    shape: tuple[int, ...],
    layout: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] | None,
    smooth: bool = False,
) -> None:
    def build(rng: Random) -> Arrays:
        made = [operand(rng, shape, dtype, domain) for domain in domains]
        return [layout(x) for x in made] if layout else made

    what = f"{layout.__name__ if layout else 'smooth' if smooth else 'shape'}{shape}".replace(" ", "")
    add(name, dtype, what, build, smooth=smooth)


def _special_row(name: str, dtype: str, count: int) -> None:
    add(name, dtype, "special", lambda rng: [specials(dtype)] if count == 1 else pairs(dtype), special=True)


# --- unary -----------------------------------------------------------------------------------------
elementwise("negative", NUMBERS, normal)
elementwise("absolute", NUMBERS, away_from(0))
elementwise("sign", NUMBERS, away_from(0), smooth=False)
elementwise("floor ceil round_even", FLOATS, between(-9, 9), smooth=False)
elementwise("exp expm1", FLOATS, between(-5, 5))
elementwise("log", FLOATS, between(0.01, 50))
elementwise("log1p", FLOATS, between(-0.9, 50))
elementwise("sqrt rsqrt", FLOATS, between(0.01, 50))
elementwise("sin cos", FLOATS, between(-10, 10))
elementwise("tan", FLOATS, between(-1.4, 1.4))
elementwise("arcsin arccos", FLOATS, between(-0.95, 0.95))
elementwise("arctan sinh cosh", FLOATS, between(-5, 5))
elementwise("tanh", FLOATS, between(-5, 5))
elementwise("arcsinh", FLOATS, between(-50, 50))
elementwise("arccosh", FLOATS, between(1.1, 50))
elementwise("arctanh", FLOATS, between(-0.95, 0.95))
elementwise("sigmoid", FLOATS, between(-10, 10))
elementwise("erf", FLOATS, between(-3, 3))
elementwise("invert", ("bool", *INTEGERS), normal)
elementwise("is_finite", FLOATS, normal, smooth=False)
elementwise("stop_gradient", (*NUMBERS, "bool"), normal, smooth=False)

# Arguments from the whole range of the dtype, where a fast approximation is likely to fail.
for _name, _low, _high in (
    ("exp", -104, 90), ("expm1", -20, 90), ("sin", -1e4, 1e4), ("cos", -1e4, 1e4), ("tanh", -20, 20),
    ("sigmoid", -104, 104), ("erf", -6, 6), ("sinh", -89, 89), ("cosh", -89, 89), ("arctan", -1e6, 1e6),
    ("expm1", -1e-3, 1e-3), ("tanh", -1e-3, 1e-3), ("sinh", -1e-3, 1e-3), ("log1p", -1e-3, 1e-3),
    ("erf", -1e-3, 1e-3), ("sin", -1e-3, 1e-3), ("arcsinh", -1e-3, 1e-3), ("arctanh", -1e-3, 1e-3),
):  # fmt: skip
    for _dtype in ("float32", "float64"):
        add(
            _name,
            _dtype,
            f"range({_low:g},{_high:g})",
            lambda rng, low=_low, high=_high, dtype=_dtype: [as_kind(rng.uniform(low, high, 500), dtype)],
        )
for _name in ("log", "sqrt", "rsqrt", "log1p", "arcsinh"):
    for _dtype, _exponent in (("float32", 37), ("float64", 300)):
        add(
            _name,
            _dtype,
            "magnitudes",
            lambda rng, dtype=_dtype, top=_exponent: [as_kind(10.0 ** rng.uniform(-top, top, 500), dtype)],
        )

for _source in dtypes.ALL:
    for _target in dtypes.ALL:
        add(
            "cast",
            _source,
            f"to-{_target}",
            lambda rng, source=_source, target=_target: (
                [operand(rng, (17,), source, between(0 if dtypes.is_unsigned(target) else -20, 20))],
                {"dtype": target},
            ),
        )
for _source in FLOATS:
    for _target in ("bool", *dtypes.INTEGERS):
        add(
            "cast",
            _source,
            f"special-to-{_target}",
            lambda rng, source=_source, target=_target: ([special_floats(source)], {"dtype": target}),
            special=True,
        )
add("cast", "float64", "smooth", lambda rng: ([rng.standard_normal(5)], {"dtype": "float64"}), smooth=True)

# --- binary ----------------------------------------------------------------------------------------
elementwise("add subtract multiply", NUMBERS, normal, normal)
elementwise("divide", FLOATS, normal, away_from(0, margin=0.3))
elementwise("floor_divide", NUMBERS, normal, away_from(0), smooth=False)
elementwise("power", FLOATS, between(0.1, 3), between(-2, 2))
elementwise("maximum minimum", (*NUMBERS, "bool"), normal, away_from(0))
elementwise("arctan2", FLOATS, away_from(0), away_from(0))
elementwise("bitwise_and bitwise_or bitwise_xor", ("bool", *INTEGERS), normal, normal)
elementwise("remainder", NUMBERS, between(1.05, 1.95), between(1.96, 2.5))

for _name in ("shift_left", "shift_right"):
    for _dtype in INTEGERS:
        add(
            _name,
            _dtype,
            "all",
            lambda rng, dtype=_dtype: [
                np.repeat(special_integers(dtype), 70),
                np.tile(np.arange(70), special_integers(dtype).size).astype(dtypes.to_numpy(dtype)),
            ],
            special=True,
        )
for _dtype in INTEGERS:
    add(
        "power",
        _dtype,
        "small",
        lambda rng, dtype=_dtype: [
            np.repeat(np.array([0, 1, 2, 3, 5] + [-1, -2] * (not dtypes.is_unsigned(dtype))), 6).astype(
                dtype
            ),
            np.tile(np.array([0, 1, 2, 3, 4, 5]), 5 + 2 * (not dtypes.is_unsigned(dtype))).astype(dtype),
        ],
    )
for _dtype in ("int8", "int32", "int64"):
    add(
        "power",
        _dtype,
        "negative",
        lambda rng, dtype=_dtype: [
            np.array([0, 1, -1, -1, 2, -3, 5], dtype),
            np.array([-1, -3, -3, -4, -1, -2, -9], dtype),
        ],
        special=True,
    )

# --- compare and select ----------------------------------------------------------------------------
elementwise(
    "equal not_equal less less_equal greater greater_equal", (*NUMBERS, "bool"), normal, normal, smooth=False
)
for _dtype in (*NUMBERS, "bool"):
    for _extent in EXTENTS if _dtype == "float32" else (17, 33):
        add(
            "select",
            _dtype,
            f"shape({_extent},)",
            lambda rng, dtype=_dtype, extent=_extent: [
                integers(rng, (extent,), "bool"),
                operand(rng, (extent,), dtype),
                operand(rng, (extent,), dtype),
            ],
            smooth=_dtype == "float64" and _extent == 17,
        )
add(
    "select",
    "float32",
    "transposed",
    lambda rng: [
        transposed(integers(rng, (7, 33), "bool")),
        operand(rng, (7, 33), "float32"),
        strided(operand(rng, (7, 33), "float32")),
    ],
)

# --- derivatives -----------------------------------------------------------------------------------
differentiable(
    "negative absolute exp expm1 log log1p sqrt rsqrt sin cos tan arcsin arccos arctan sinh cosh tanh", 0
)
differentiable("arcsinh arccosh arctanh sigmoid erf cast", 0)
differentiable("sign floor ceil round_even invert is_finite stop_gradient")
differentiable("add subtract multiply divide power maximum minimum arctan2 remainder", 0, 1)
differentiable("floor_divide bitwise_and bitwise_or bitwise_xor shift_left shift_right")
differentiable("equal not_equal less less_equal greater greater_equal")
differentiable("select", 1, 2)
differentiable("reduce_sum reduce_prod reduce_max reduce_min cumulative_sum", 0)
differentiable("argmax argmin")
differentiable("reshape transpose broadcast slice reverse", 0)
differentiable("pad", 0, 1)
differentiable("concatenate", 0, 1, 2)
differentiable("input constant iota random_bits")
differentiable("dot conv conv_input_grad conv_filter_grad", 0, 1)
differentiable("attention", 0, 1, 2)
differentiable("attention_grad", 0, 1, 2, 3, 4, 5, 6)
differentiable("max_window gather_window scatter_window sum_window spread_window", 0)
differentiable("gather", 0)
differentiable("scatter_add", 0, 2)
differentiable("sort", 0)
differentiable("host", 0, 1)
differentiable("scan", 0, 1, 2, 3)
differentiable("while_loop")
differentiable("cond", 1, 2)
differentiable("custom_gradient", 1)
