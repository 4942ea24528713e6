"""The dtype of every op's result, for every dtype that goes in: as in Keras 3 with JAX."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from lamina.core import dtypes
from lamina.core.errors import LaminaError
from lamina.ops import OPS

KINDS = ("bool", "uint8", "int8", "int16", "int32", "uint32", "float16", "bfloat16", "float32")

UNARY = """
    negative absolute fabs sign signbit square reciprocal floor ceil trunc round exp exp2 expm1 log
    log1p log2 log10 sqrt rsqrt cbrt sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh
    arctanh sinc deg2rad rad2deg erf i0 isfinite isnan isinf isreal nan_to_num logical_not
    bitwise_not sum prod mean max min amax amin ptp var std average logsumexp count_nonzero any all
    argmax argmin cumsum cumprod nansum nanprod nanmean nanmax nanmin nanvar nanstd median ravel
    copy flip sort argsort diff trapezoid norm diag tril vander corrcoef relu relu6 leaky_relu
    hard_sigmoid hard_tanh sigmoid log_sigmoid softplus softsign silu gelu elu selu softmax
    log_softmax zeros_like ones_like
"""
BINARY = """
    add subtract multiply divide divide_no_nan floor_divide mod fmod power maximum minimum fmax fmin
    arctan2 hypot logaddexp equal less isclose logical_and bitwise_and bitwise_left_shift append
    matmul dot outer inner vdot cross tensordot
"""

# In these, Keras on JAX forgets that a Python number is weak: float16 and 2.0 give float32.
STRONG_NUMBERS = ("arctan2", "logaddexp")


def dtype_in_keras(real_keras, name, *kinds_or_numbers):
    """The dtype of Keras' result, or None when Keras refuses."""
    import jax

    arguments = [
        jax.ShapeDtypeStruct((3,), dtypes.to_numpy(kind)) if isinstance(kind, str) else kind
        for kind in kinds_or_numbers
    ]
    shaped = [argument for argument in arguments if isinstance(argument, jax.ShapeDtypeStruct)]

    def call(*tensors):
        rest = iter(tensors)
        return getattr(real_keras.ops, name)(
            *[
                next(rest) if isinstance(argument, jax.ShapeDtypeStruct) else argument
                for argument in arguments
            ]
        )

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return jax.eval_shape(call, *shaped).dtype.name
    except (TypeError, ValueError, AttributeError, NotImplementedError):
        return None


def dtype_here(name, *kinds_or_numbers):
    arguments = [
        np.ones(3, dtypes.to_numpy(kind)) if isinstance(kind, str) else kind for kind in kinds_or_numbers
    ]
    try:
        found = OPS[name](*arguments).dtype.name
    except LaminaError:
        return None
    # JAX without 64-bit mode narrows what the lattice makes int64.
    return {"int64": "int32", "uint64": "uint32"}.get(found, found)


@pytest.mark.parametrize("name", UNARY.split())
def test_dtype_of_unary(name, real_keras):
    found = {kind: dtype_here(name, kind) for kind in KINDS}
    expected = {kind: dtype_in_keras(real_keras, name, kind) for kind in KINDS}
    wrong = {
        kind: (found[kind], expected[kind]) for kind in KINDS if expected[kind] not in (None, found[kind])
    }
    assert wrong == {}


@pytest.mark.parametrize("name", BINARY.split())
def test_dtype_of_binary(name, real_keras):
    pairs = [(first, second) for first in KINDS for second in (*KINDS[:2], "int32", "float16", "float32")]
    if name not in STRONG_NUMBERS:
        pairs += [(kind, number) for kind in KINDS for number in (2, 2.0)] + [(2.0, "float16"), (2, "int8")]
    wrong = {}
    for pair in pairs:
        found, expected = dtype_here(name, *pair), dtype_in_keras(real_keras, name, *pair)
        if expected not in (None, found):
            wrong[pair] = (found, expected)
    assert wrong == {}
