"""Eager arrays print as those of NumPy do."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core import dtypes
from lamina.interp import as_eager


@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (0, 3), (600, 2)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64", "int32", "bool"])
def test_print_as_arrays_of_numpy(dtype, shape):
    plain = np.full(shape, 0.3).astype(dtypes.to_numpy(dtype))
    assert repr(as_eager(plain)) == "Array" + repr(plain).removeprefix("array")
    assert str(as_eager(plain)) == str(plain)


def test_digits_are_those_of_the_dtype():
    assert repr(as_eager(np.float32([0.3]))) == "Array([0.3], dtype=float32)"
