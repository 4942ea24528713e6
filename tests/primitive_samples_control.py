"""Sample rows of loops and branches, on whole numbers, so that sums are exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sample_building import FLOATS, NUMBERS, add, as_kind, strided, transposed

from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.bodies import body_inputs
from lamina.ir.graph import Graph, TensorType, Value

Shape = tuple[int, ...]


def body(types: Sequence[TensorType], function: Callable[..., Sequence[Value]]) -> Graph:
    inputs = body_inputs(types)
    return Graph(inputs, tuple(function(*inputs)))


def small(rng: np.random.Generator, shape: Shape, dtype: str) -> np.ndarray[Any, Any]:
    return as_kind(rng.integers(0, 5, shape), dtype)


# --- control ---------------------------------------------------------------------------------------
def scan_body(shape: Shape, dtype: str) -> Graph:
    """(step, total), x -> (total + x, total before), the larger of total and x, step."""
    kind = TensorType(shape, dtype)
    return body(
        [kind, kind, kind, kind],
        lambda const, total, before, x: (
            p.add(p.add(total, x), const),
            total,
            p.maximum(total, x),
            before,
            x,
            const,
        ),
    )


for _dtype in NUMBERS:
    for _length in (0, 1, 2, 7) if _dtype == "float32" else (3,):
        for _shape in ((), (1,), (17,), (3, 33)) if _dtype == "float32" else ((5,),):
            for _reverse in (False, True):
                for _layout in (np.asarray, strided, transposed) if len(_shape) > 1 else (np.asarray,):
                    add(
                        "scan",
                        _dtype,
                        f"{_length}x{_shape}{'back' * _reverse}{_layout.__name__}".replace(" ", ""),
                        lambda rng, dtype=_dtype, length=_length, shape=_shape, back=_reverse, form=_layout: (
                            [
                                small(rng, shape, dtype),
                                form(small(rng, shape, dtype)),
                                small(rng, shape, dtype),
                                form(small(rng, (length, *shape), dtype)),
                            ],
                            {
                                "body": scan_body(shape, dtype),
                                "length": length,
                                "consts": 1,
                                "carries": 2,
                                "reverse": back,
                            },
                        ),
                    )

for _dtype in NUMBERS:
    for _shape in ((), (17,)):
        for _steps in (0, 1, 4):
            add(
                "while_loop",
                _dtype,
                f"{_steps}x{_shape}",
                lambda rng, dtype=_dtype, shape=_shape, steps=_steps: (
                    [
                        np.array(steps, "int32"),
                        np.array(0, "int32"),
                        small(rng, shape, dtype),
                        small(rng, shape, dtype),
                    ],
                    {
                        "condition": body(loop_types(shape, dtype), lambda n, i, x, y: (p.less(i, n),)),
                        "body": body(
                            loop_types(shape, dtype),
                            lambda n, i, x, y: (p.add(i, full((), 1, "int32")), y, p.add(x, y)),
                        ),
                        "consts": 1,
                    },
                ),
            )


def loop_types(shape: Shape, dtype: str) -> list[TensorType]:
    return [TensorType((), "int32"), TensorType((), "int32"), *[TensorType(shape, dtype)] * 2]


for _dtype in NUMBERS:
    for _index in (-1, 0, 1, 2, 5):
        add(
            "cond",
            _dtype,
            f"branch{_index}",
            lambda rng, dtype=_dtype, index=_index: (
                [np.array(index, "int32"), small(rng, (3, 5), dtype), small(rng, (3, 5), dtype)],
                {
                    "branches": tuple(
                        body([TensorType((3, 5), dtype)] * 2, branch)
                        for branch in (
                            lambda x, y: (p.add(x, y), x),
                            lambda x, y: (y, p.multiply(x, y)),
                            lambda x, y: (full((3, 5), 2, x.dtype), full((3, 5), 3, x.dtype)),
                        )
                    )
                },
            ),
        )


for _dtype in FLOATS:
    add(
        "custom_gradient",
        _dtype,
        "result",
        lambda rng, dtype=_dtype: (
            [small(rng, (3, 5), dtype), small(rng, (3, 5), dtype), small(rng, (3, 5), dtype)],
            {
                "backward": body([TensorType((3, 5), dtype)] * 2, lambda kept, g: (p.multiply(kept, g),)),
                "results": 1,
                "arguments": 1,
            },
        ),
    )
