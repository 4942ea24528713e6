"""Sample rows of convolutions and pooling; `primitive_samples` has the whole table."""

from __future__ import annotations

from typing import Any

import numpy as np
from sample_building import NUMBERS, add, as_kind, distinct, operand, strided, transposed

from lamina.core import dtypes, windows

Ints = tuple[int, ...]

WINDOWS: tuple[tuple[Ints, Ints, Ints, windows.Padding, Ints], ...] = (
    # x without channels, sizes, strides, padding, dilation
    ((2, 7), (3,), (1,), ((0, 0),), (1,)),
    ((3, 8), (2,), (2,), ((0, 0),), (1,)),
    ((1, 9), (3,), (2,), ((1, 1),), (2,)),
    ((2, 17), (5,), (3,), ((4, 0),), (1,)),
    ((2, 6, 6), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    ((2, 5, 7), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    ((1, 7, 6), (3, 2), (2, 3), ((1, 1), (0, 1)), (1, 1)),
    ((1, 7, 9), (2, 3), (1, 2), ((1, 0), (2, 2)), (3, 2)),
    ((1, 5, 5), (1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    ((1, 3, 4), (3, 4), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    ((1, 4, 5, 3), (2, 2, 2), (1, 2, 1), ((0, 0), (1, 0), (0, 1)), (1, 1, 1)),
    ((0, 6), (3,), (1,), ((1, 1),), (1,)),
)
CHANNELS = (1, 2, 3, 7, 16, 17, 33)


def _cases(dtype: str) -> list[tuple[int, Any]]:
    """Every window with one number of channels, and for float32 the first 2-D ones with all of them."""
    rows = [(CHANNELS[number % len(CHANNELS)], window) for number, window in enumerate(WINDOWS)]
    if dtype == "float32":
        return rows + [(channels, WINDOWS[number]) for number in (4, 5) for channels in CHANNELS]
    return rows if dtype == "float64" else rows[2:8:2]


def _described(dtype: str, channels: int, window: Any) -> str:
    return "-".join(str(part) for part in (*window, channels)).replace(" ", "")


# --- contract --------------------------------------------------------------------------------------
GROUPS = (
    (1, 4),
    (1, 1),
    (1, 17),
    (2, 2),
    (-1, 1),
    (-1, 2),
)  # groups (-1: one per channel), filters of a group

for _dtype in NUMBERS:
    for _number, (_channels, _window) in enumerate(_cases(_dtype)):
        _groups, _filters = GROUPS[_number % len(GROUPS)]
        _groups = _channels if _groups == -1 else _groups if _channels % _groups == 0 else 1
        _outside, _sizes, _strides, _padding, _dilation = _window
        _places = windows.places(_outside[1:], _sizes, _strides, _padding, _dilation)
        _shapes = {
            "x": (*_outside, _channels),
            "kernel": (*_sizes, _channels // _groups, _groups * _filters),
            "y": (_outside[0], *_places, _groups * _filters),
        }
        _how = {"strides": _strides, "padding": _padding, "dilation": _dilation, "groups": _groups}
        for _name, _operands, _more in (
            ("conv", ("x", "kernel"), {}),
            ("conv_input_grad", ("y", "kernel"), {"shape": _outside[1:]}),
            ("conv_filter_grad", ("x", "y"), {"shape": _sizes}),
        ):
            for _layout in (None, strided, transposed) if _dtype == "float32" and _number == 5 else (None,):
                add(
                    _name,
                    _dtype,
                    f"{_described(_dtype, _channels, _window)}by{_groups}"
                    f"{_layout.__name__ if _layout else ''}",
                    lambda rng, dtype=_dtype, form=_layout, all=_shapes, of=_operands, how=_how, more=_more: (
                        [(form or np.asarray)(operand(rng, all[name], dtype)) for name in of],
                        {**how, **more},
                    ),
                    smooth=_dtype == "float64" and _number < 6,
                )
for _name, _operands, _more in (
    ("conv", ("x", "kernel"), {}),
    ("conv_input_grad", ("y", "kernel"), {"shape": (4,)}),
    ("conv_filter_grad", ("x", "y"), {"shape": (2,)}),
):
    for _shapes in (
        {"x": (2, 4, 0), "kernel": (2, 0, 3), "y": (2, 3, 3)},
        {"x": (2, 4, 3), "kernel": (2, 3, 0), "y": (2, 3, 0)},
        {"x": (0, 4, 3), "kernel": (2, 3, 5), "y": (0, 3, 5)},
    ):
        add(
            _name,
            "float32",
            f"of-nothing{_shapes['kernel']}{_shapes['x'][0]}".replace(" ", ""),
            lambda rng, shapes=_shapes, names=_operands, more=_more: (
                [operand(rng, shapes[name], "float32") for name in names],
                {"strides": (1,), "padding": ((0, 0),), "dilation": (1,), "groups": 1, **more},
            ),
        )

# --- window ----------------------------------------------------------------------------------------
for _dtype in NUMBERS:
    for _channels, _window in _cases(_dtype):
        _outside, _sizes, _strides, _padding, _dilation = _window
        _places = windows.places(_outside[1:], _sizes, _strides, _padding, _dilation)
        _x, _y = (*_outside, _channels), (_outside[0], *_places, _channels)
        _how = {"sizes": _sizes, "strides": _strides, "padding": _padding, "dilation": _dilation}
        _count = int(np.prod(_sizes))
        _what = _described(_dtype, _channels, _window)
        _smooth = _dtype == "float64"
        if windows.every_place_has_an_element(_outside[1:], **_how):
            add(
                "max_window",
                _dtype,
                _what,
                lambda rng, dtype=_dtype, shape=_x, how=_how: ([operand(rng, shape, dtype)], how),
            )
        if _smooth and windows.every_place_has_an_element(_outside[1:], **_how):
            add(
                "max_window",
                _dtype,
                f"smooth{_what}",
                lambda rng, shape=_x, how=_how: ([distinct(rng, shape)], how),
                smooth=True,
            )
        add(
            "gather_window",
            _dtype,
            _what,
            lambda rng, dtype=_dtype, x=_x, y=_y, how=_how, count=_count: (
                [operand(rng, x, dtype), rng.integers(0, count + 1, y).astype(np.uint8)],
                how,
            ),
            smooth=_smooth,
        )
        add(
            "scatter_window",
            _dtype,
            _what,
            lambda rng, dtype=_dtype, x=_x, y=_y, how=_how, count=_count: (
                [operand(rng, y, dtype), rng.integers(0, count + 1, y).astype(np.uint8)],
                {"shape": x[1:-1], **how},
            ),
            smooth=_smooth,
        )
        add(
            "sum_window",
            _dtype,
            _what,
            lambda rng, dtype=_dtype, x=_x, how=_how: ([operand(rng, x, dtype)], how),
            smooth=_smooth,
        )
        add(
            "spread_window",
            _dtype,
            _what,
            lambda rng, dtype=_dtype, x=_x, y=_y, how=_how: (
                [operand(rng, y, dtype)],
                {"shape": x[1:-1], **how},
            ),
            smooth=_smooth,
        )
    if dtypes.is_float(_dtype):
        add(
            "max_window",
            _dtype,
            "special",
            lambda rng, dtype=_dtype: (
                [
                    as_kind(
                        np.array(
                            [
                                [1, np.nan, np.nan, 2, -np.inf, -np.inf],
                                [-np.inf, np.inf, 1, np.inf, -0.0, 0.0],
                            ]
                        )[..., None],
                        dtype,
                    )
                ],
                {"sizes": (3,), "strides": (1,), "padding": ((1, 1),), "dilation": (1,)},
            ),
            special=True,
        )
        add(
            "max_window",
            _dtype,
            "lowest",
            lambda rng, dtype=_dtype: (
                [np.full((1, 3, 17), dtypes.limits(dtype)[0], dtypes.to_numpy(dtype))],
                {"sizes": (2,), "strides": (2,), "padding": ((1, 0),), "dilation": (1,)},
            ),
            special=True,
        )
for _extent, _size in ((300, 257), (260, 256)):
    for _name in ("max_window", "gather_window", "scatter_window"):
        add(
            _name,
            "float32",
            f"wide{_size}",
            lambda rng, extent=_extent, size=_size, name=_name: _wide(rng, extent, size, name),
        )


def _wide(rng: np.random.Generator, extent: int, size: int, name: str) -> Any:
    """Windows whose index needs more than a byte, or just not."""
    how = {"sizes": (size,), "strides": (3,), "padding": ((0, 0),), "dilation": (1,)}
    x = operand(rng, (1, extent, 2), "float32")
    if name == "max_window":
        return [x], how
    y_shape = (1, *windows.places((extent,), **how), 2)
    index = rng.integers(0, size, y_shape).astype(np.uint8 if size <= 256 else np.int32)
    if name == "gather_window":
        return [x, index], how
    return [operand(rng, y_shape, "float32"), index], {"shape": (extent,), **how}
