"""Sample rows of the primitives that are not elementwise; `primitive_samples` has the whole table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sample_building import (
    FLOATS,
    NUMBERS,
    SAMPLES,
    Domain,
    add,
    as_kind,
    between,
    distinct,
    normal,
    operand,
    special_floats,
    strided,
    transposed,
)

from lamina.core import dtypes
from lamina.ir.graph import Literal, TensorType

__all__ = ["SAMPLES"]

# --- reduce ----------------------------------------------------------------------------------------
REDUCED = (
    ((7,), (0,)), ((65,), (0,)), ((3, 17), (0,)), ((3, 17), (1,)), ((33, 31), (0, 1)), ((2, 3, 5), (1,)),
    ((2, 3, 5), (0, 2)), ((2, 16, 3, 7), (1, 2)), ((1, 5), (0,)), ((3, 0), (0,)), ((4, 130), (1,)),
    ((130, 4), (0,)),
)  # fmt: skip


def _reduction_rows(name: str, kinds: Iterable[str], domain: Domain, of_nothing: bool) -> None:
    for dtype in kinds:
        main = dtype in ("float32", "int32", "bool")
        for shape, axes in REDUCED if main else REDUCED[:6]:
            for layout in (None, transposed, strided) if main and shape == (33, 31) else (None,):
                what = f"{layout.__name__ if layout else 'shape'}{shape}over{axes}".replace(" ", "")
                add(
                    name,
                    dtype,
                    what,
                    lambda rng, shape=shape, axes=axes, dtype=dtype, layout=layout: (
                        [(layout or np.asarray)(operand(rng, shape, dtype, domain))],
                        {"axes": axes},
                    ),
                )
        if of_nothing:
            add(
                name,
                dtype,
                "of-nothing",
                lambda rng, dtype=dtype: ([operand(rng, (3, 0), dtype)], {"axes": (1,)}),
            )
        if dtypes.is_float(dtype):
            add(
                name,
                dtype,
                "special",
                lambda rng, dtype=dtype: (
                    [
                        np.array(
                            [[1, np.nan, 2], [np.inf, 1, 2], [np.inf, -np.inf, 0], [-0.0, 0.0, 1]]
                        ).astype(dtypes.to_numpy(dtype))
                    ],
                    {"axes": (1,)},
                ),
                special=True,
            )
    for shape, axes in (((3, 4), (0,)), ((2, 3, 2), (0, 2)), ((2, 0), (0,))):
        add(
            name,
            "float64",
            f"smooth{shape}over{axes}".replace(" ", ""),
            lambda rng, shape=shape, axes=axes: ([distinct(rng, shape) + 0.1], {"axes": axes}),
            smooth=True,
        )


_reduction_rows("reduce_sum", NUMBERS, normal, of_nothing=True)
_reduction_rows("reduce_prod", NUMBERS, between(0.5, 1.5), of_nothing=True)
_reduction_rows("reduce_max", (*NUMBERS, "bool"), normal, of_nothing=False)
_reduction_rows("reduce_min", (*NUMBERS, "bool"), normal, of_nothing=False)

for _name in ("argmax", "argmin"):
    for _dtype in (*NUMBERS, "bool"):
        for _shape, _axis in (
            ((1,), 0),
            ((65,), 0),
            ((3, 17), 0),
            ((3, 17), 1),
            ((2, 33, 3), 1),
            ((0, 3), 1),
        ):
            add(
                _name,
                _dtype,
                f"shape{_shape}along{_axis}".replace(" ", ""),
                lambda rng, dtype=_dtype, shape=_shape, axis=_axis: (
                    [operand(rng, shape, dtype)],
                    {"axis": axis},
                ),
            )
    for _dtype in FLOATS:
        add(
            _name,
            _dtype,
            "special",
            lambda rng, dtype=_dtype: (
                [
                    as_kind(
                        np.array(
                            [
                                [1, 3, 3, 1],
                                [1, np.nan, 5, np.nan],
                                [-np.inf, np.inf, 0, np.inf],
                                [0.0, -0.0, 0, 0],
                            ]
                        ),
                        dtype,
                    )
                ],
                {"axis": 1},
            ),
            special=True,
        )

for _dtype in NUMBERS:
    for _reverse in (False, True):
        for _shape, _axis in (((1,), 0), ((65,), 0), ((3, 17), 0), ((3, 17), 1), ((2, 5, 3), 1), ((3, 0), 1)):
            add(
                "cumulative_sum",
                _dtype,
                f"shape{_shape}along{_axis}{'back' * _reverse}".replace(" ", ""),
                lambda rng, dtype=_dtype, shape=_shape, axis=_axis, reverse=_reverse: (
                    [operand(rng, shape, dtype)],
                    {"axis": axis, "reverse": reverse},
                ),
                smooth=_dtype == "float64" and _shape == (3, 17),
            )

# --- move ------------------------------------------------------------------------------------------
MOVED = ("float32", "float64", "float16", "bfloat16", "int32", "uint8", "int64", "bool")


def _move_rows(
    name: str, cases: Iterable[tuple[tuple[int, ...], dict[str, Any]]], smooth: bool = True
) -> None:
    for dtype in MOVED:
        for number, (shape, attributes) in enumerate(cases):
            if dtype not in ("float32", "float64") and number % 3:
                continue
            for layout in (None, transposed) if dtype == "float32" and len(shape) > 1 else (None,):
                add(
                    name,
                    dtype,
                    f"{number}{'transposed' if layout else ''}{shape}".replace(" ", ""),
                    lambda rng, shape=shape, dtype=dtype, attributes=attributes, layout=layout: (
                        [(layout or np.asarray)(operand(rng, shape, dtype))],
                        attributes,
                    ),
                    smooth=smooth and dtype == "float64",
                )


_move_rows(
    "reshape",
    [((6,), {"shape": (2, 3)}), ((2, 3, 5), {"shape": (5, 6)}), ((), {"shape": (1, 1)}),
     ((0, 3), {"shape": (3, 0)}),
     ((4, 33), {"shape": (132,)}), ((1,), {"shape": ()})],
)  # fmt: skip
_move_rows(
    "transpose",
    [((3, 17), {"permutation": (1, 0)}), ((2, 3, 5), {"permutation": (2, 0, 1)}), ((), {"permutation": ()}),
     ((2, 16, 3, 7), {"permutation": (0, 3, 1, 2)}), ((0, 3), {"permutation": (1, 0)}),
     ((33, 65), {"permutation": (1, 0)})],
)  # fmt: skip
_move_rows(
    "broadcast",
    [((), {"shape": (3, 17), "axes": ()}), ((17,), {"shape": (3, 17), "axes": (1,)}),
     ((3,), {"shape": (3, 17), "axes": (0,)}), ((3, 1), {"shape": (3, 5), "axes": (0, 1)}),
     ((2, 5), {"shape": (2, 3, 5), "axes": (0, 2)}), ((1,), {"shape": (0, 4), "axes": (1,)}),
     ((1, 1, 7), {"shape": (2, 3, 4, 7), "axes": (1, 2, 3)})],
)  # fmt: skip
_move_rows(
    "slice",
    [((17,), {"start": (3,), "limit": (9,), "stride": (1,)}),
     ((17,), {"start": (1,), "limit": (17,), "stride": (3,)}),
     ((5, 33), {"start": (1, 2), "limit": (4, 33), "stride": (2, 5)}),
     ((4,), {"start": (2,), "limit": (2,), "stride": (1,)}),
     ((2, 3, 5), {"start": (0, 1, 0), "limit": (2, 2, 5), "stride": (1, 1, 2)}),
     ((), {"start": (), "limit": (), "stride": ()})],
)  # fmt: skip
_move_rows(
    "reverse",
    [((17,), {"axes": (0,)}), ((3, 17), {"axes": (1,)}), ((2, 3, 5), {"axes": (0, 2)}),
     ((3, 4), {"axes": ()}), ((0, 2), {"axes": (0, 1)})],
)  # fmt: skip

PADDED = (
    ((7,), (2,), (3,), (0,)), ((3, 5), (0, 1), (2, 0), (0, 0)), ((3, 4), (1, 0), (0, 2), (2, 1)),
    ((0,), (2,), (1,), (3,)),
    ((1, 2), (0, 0), (0, 0), (4, 4)), ((2, 16, 3), (1, 1, 0), (1, 1, 0), (0, 0, 0)),
)  # fmt: skip
for _dtype in MOVED:
    for _shape, _low, _high, _interior in PADDED if _dtype in ("float32", "float64") else PADDED[:3]:
        add(
            "pad",
            _dtype,
            f"shape{_shape}by{_low}{_high}{_interior}".replace(" ", ""),
            lambda rng, dtype=_dtype, shape=_shape, low=_low, high=_high, interior=_interior: (
                [operand(rng, shape, dtype), operand(rng, (), dtype)],
                {"low": low, "high": high, "interior": interior},
            ),
            smooth=_dtype == "float64",
        )

CONCATENATED = (
    (((3,), (4,)), 0), (((2, 3), (2, 5)), 1), (((2, 3), (1, 3), (0, 3)), 0), (((2, 3, 5),), 2),
    (((4, 16), (4, 17), (4, 1)), 1),
)  # fmt: skip
for _dtype in MOVED:
    for _shapes, _axis in CONCATENATED:
        add(
            "concatenate",
            _dtype,
            f"shapes{_shapes}along{_axis}".replace(" ", ""),
            lambda rng, dtype=_dtype, shapes=_shapes, axis=_axis: (
                [operand(rng, shape, dtype) for shape in shapes],
                {"axis": axis},
            ),
            smooth=_dtype == "float64",
        )

for _dtype in dtypes.ALL:
    add(
        "constant",
        _dtype,
        "array",
        lambda rng, dtype=_dtype: ([], {"value": Literal(operand(rng, (3, 5), dtype))}),
    )
    add(
        "constant",
        _dtype,
        "scalar",
        lambda rng, dtype=_dtype: ([], {"value": Literal(operand(rng, (), dtype))}),
    )
    if _dtype != "bool":
        for _shape, _axis in (((17,), 0), ((3, 5), 0), ((3, 5), 1), ((0,), 0)):
            add(
                "iota",
                _dtype,
                f"shape{_shape}along{_axis}".replace(" ", ""),
                lambda rng, dtype=_dtype, shape=_shape, axis=_axis: (
                    [],
                    {"shape": shape, "axis": axis, "dtype": dtype},
                ),
            )
add(
    "input",
    "float32",
    "named",
    lambda rng: ([], {"type": TensorType((2, 3), "float32"), "name": "x", "serial": -1}),
)

# --- contract --------------------------------------------------------------------------------------
PRODUCTS: tuple[tuple[tuple[int, ...], tuple[int, ...], Any, Any], ...] = (
    # shape of x, shape of y, contracted axes, batch axes
    ((3, 4), (4, 5), ((1,), (0,)), ((), ())),
    ((33, 17), (17, 65), ((1,), (0,)), ((), ())),
    ((16, 31), (15, 31), ((1,), (1,)), ((), ())),
    ((31, 16), (31, 7), ((0,), (0,)), ((), ())),
    ((1, 65), (65, 1), ((1,), (0,)), ((), ())),
    ((64, 128), (128, 96), ((1,), (0,)), ((), ())),
    ((7,), (7,), ((0,), (0,)), ((), ())),
    ((3,), (5,), ((), ()), ((), ())),
    ((17, 33), (33,), ((1,), (0,)), ((), ())),
    ((2, 3, 7), (7, 5), ((2,), (0,)), ((), ())),
    ((2, 3, 4), (2, 4, 5), ((2,), (1,)), ((0,), (0,))),
    ((3, 2, 4), (5, 4, 2), ((2,), (1,)), ((1,), (2,))),
    ((2, 3, 4, 5), (3, 4, 6), ((1, 2), (0, 1)), ((), ())),
    ((0, 4), (4, 3), ((1,), (0,)), ((), ())),
    ((3, 0), (0, 4), ((1,), (0,)), ((), ())),
)
for _dtype in NUMBERS:
    for _number, (_first, _second, _contract, _batch) in enumerate(PRODUCTS):
        if _dtype not in ("float32", "float64") and _number % 3:
            continue
        for _layout in (None, transposed) if _dtype == "float32" and _number < 5 else (None,):
            add(
                "dot",
                _dtype,
                f"{_number}{'transposed' if _layout else ''}{_first}{_second}".replace(" ", ""),
                lambda rng, dtype=_dtype, shapes=(_first, _second), axes=(_contract, _batch), form=_layout: (
                    [(form or np.asarray)(operand(rng, shape, dtype)) for shape in shapes],
                    {"contract": axes[0], "batch": axes[1]},
                ),
                smooth=_dtype == "float64" and max(*_first, *_second) < 10,
            )
add(
    "dot",
    "float32",
    "special",
    lambda rng: (
        [np.array([[1, np.nan], [np.inf, 1], [1, 2]], np.float32), np.array([[0, 1], [1, 0]], np.float32)],
        {"contract": ((1,), (0,)), "batch": ((), ())},
    ),
    special=True,
)

# --- gather and scatter ----------------------------------------------------------------------------
GATHERED = (
    ((7,), (3,), 0),
    ((5, 17), (4,), 0),
    ((5, 17), (2, 3), 1),
    ((3, 4, 5), (), 1),
    ((33, 16), (65,), 0),
    ((3, 4), (0,), 0),
)
for _dtype in MOVED:
    for _shape, _places, _axis in GATHERED:
        for _index in ("int32", "int64", "uint8") if _dtype == "float32" else ("int32",):
            add(
                "gather",
                _dtype,
                f"shape{_shape}by{_index}{_places}along{_axis}".replace(" ", ""),
                lambda rng, dtype=_dtype, shape=_shape, places=_places, axis=_axis, index=_index: (
                    [operand(rng, shape, dtype), rng.integers(0, shape[axis], places).astype(index)],
                    {"axis": axis},
                ),
                smooth=_dtype == "float64",
            )
    add(
        "gather",
        _dtype,
        "outside",
        lambda rng, dtype=_dtype: (
            [operand(rng, (4, 3), dtype), np.int32([-9, -1, 4, 2**31 - 1])],
            {"axis": 0},
        ),
        special=True,
    )

SCATTERED = (
    ((7,), (3,), 0),
    ((5, 17), (4,), 0),
    ((5, 17), (2, 3), 1),
    ((3, 4, 5), (), 1),
    ((4, 16), (65,), 0),
    ((3, 4), (0,), 0),
)
for _dtype in NUMBERS:
    for _shape, _places, _axis in SCATTERED if _dtype in ("float32", "float64") else SCATTERED[:3]:
        add(
            "scatter_add",
            _dtype,
            f"shape{_shape}by{_places}along{_axis}".replace(" ", ""),
            lambda rng, dtype=_dtype, shape=_shape, places=_places, axis=_axis: (
                [
                    operand(rng, shape, dtype),
                    rng.integers(0, shape[axis], places).astype(np.int32),
                    operand(rng, shape[:axis] + places + shape[axis + 1 :], dtype),
                ],
                {"axis": axis},
            ),
            smooth=_dtype == "float64",
        )
    add(
        "scatter_add",
        _dtype,
        "outside",
        lambda rng, dtype=_dtype: (
            [operand(rng, (4, 3), dtype), np.int64([-1, 4, 2, -(2**40), 2]), operand(rng, (5, 3), dtype)],
            {"axis": 0},
        ),
        special=True,
    )

# --- random ----------------------------------------------------------------------------------------
for _shape in ((), (1,), (17,), (0, 3), (33, 65), (2, 3, 5)):
    add(
        "random_bits",
        "uint32",
        f"shape{_shape}".replace(" ", ""),
        lambda rng, shape=_shape: ([rng.integers(0, 2**32, 2, dtype=np.uint32)], {"shape": shape}),
    )
add(
    "random_bits",
    "uint32",
    "limits",
    lambda rng: ([np.array([2**32 - 1, 2**32 - 1], np.uint32)], {"shape": (100,)}),
    special=True,
)

# --- host ------------------------------------------------------------------------------------------
# Of whole numbers, so that every result is exact; functions with roundings of their own are tested as ops.
_FACTOR = np.array([[2, 0, 0], [-1, 1, 0], [3, -2, 4]])
_UPPER = np.array([[[2, 1, -3], [0, -4, 5], [0, 0, 1]], [[1, 0, 2], [0, 8, 0], [0, 0, -2]]])
_HOST = (
    ("cholesky", (), [_FACTOR @ _FACTOR.T]),
    ("solve", (), [_UPPER, np.arange(12).reshape(2, 3, 2)]),
    ("det", (), [_UPPER]),
    ("fft", (("axes", (1,)), ("inverse", False)), [np.arange(8).reshape(2, 4), np.ones((2, 4))]),
    ("fft", (("axes", (0, 1)), ("inverse", True)), [np.arange(8).reshape(2, 4), np.ones((2, 4))]),
    ("fft", (("axes", (1,)), ("inverse", False)), [np.ones((0, 4)), np.ones((0, 4))]),
)
for _dtype in FLOATS:
    for _number, (_function, _options, _arrays) in enumerate(_HOST):
        add(
            "host",
            _dtype,
            f"{_function}{_number}",
            lambda rng, dtype=_dtype, function=_function, options=_options, arrays=_arrays: (
                [as_kind(array, dtype) for array in arrays],
                {"function": function, "options": options},
            ),
        )
add(
    "host",
    "float64",
    "smooth",
    lambda rng: (
        [rng.normal(size=(2, 3, 3)) + 4 * np.eye(3), rng.normal(size=(2, 3, 2))],
        {"function": "solve", "options": ()},
    ),
    smooth=True,
)

# --- sort ------------------------------------------------------------------------------------------
for _dtype in (*NUMBERS, "bool"):
    for _descending in (False, True):
        for _shape, _axis in (
            ((1,), 0),
            ((65,), 0),
            ((3, 17), 0),
            ((3, 17), 1),
            ((2, 33, 3), 1),
            ((3, 0), 1),
        ):
            add(
                "sort",
                _dtype,
                f"shape{_shape}along{_axis}{'down' * _descending}".replace(" ", ""),
                lambda rng, dtype=_dtype, shape=_shape, axis=_axis, descending=_descending: (
                    [operand(rng, shape, dtype)],
                    {"axis": axis, "descending": descending},
                ),
            )
        if dtypes.is_float(_dtype):
            add(
                "sort",
                _dtype,
                "special" + "down" * _descending,
                lambda rng, dtype=_dtype, descending=_descending: (
                    [np.concatenate([special_floats(dtype), special_floats(dtype)[::-1]])],
                    {"axis": 0, "descending": descending},
                ),
                special=True,
            )
for _descending in (False, True):
    add(
        "sort",
        "float64",
        "smooth" + "down" * _descending,
        lambda rng, descending=_descending: ([distinct(rng, (3, 5))], {"axis": 1, "descending": descending}),
        smooth=True,
    )
