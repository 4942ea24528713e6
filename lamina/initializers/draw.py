"""Random arrays for initial weights: NumPy, fast, and the same numbers on every machine.

Bits come from the counter-based generator of `lamina.interp.philox`; all that follows is addition,
multiplication, division and square roots, which IEEE 754 rounds alike everywhere. (NumPy's own `log` is not:
its last bit depends on the processor.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.shapes import Shape, size
from lamina.interp.philox import philox2x32

Array = np.ndarray[Any, Any]

BLOCK = 16384  # counters per block: the temporaries stay in the cache

# The share of the normal distribution below -2 standard deviations.
BELOW_TWO = 0.022750131948179207


def uniform(key: Array, shape: Shape, low: float, high: float, dtype: str) -> Array:
    """Floats spread evenly over [low, high): multiples of 2**-24 (2**-32 in float64) of the range."""
    if dtype == "float64":
        return _fill(key, shape, dtype, lambda words: words * (2.0**-32 * (high - low)) + low)

    def scale(words: Array) -> Array:
        numbers = (words >> np.uint32(8)).astype(np.float32)
        numbers *= np.float32(2.0**-24 * (high - low))
        numbers += np.float32(low)
        return numbers

    return _fill(key, shape, dtype, scale)


def normal(key: Array, shape: Shape, mean: float, stddev: float, dtype: str) -> Array:
    """Floats from the normal distribution (at most 6.3 standard deviations from the mean)."""
    return _fill(key, shape, dtype, lambda words: normal_quantile((words + 0.5) * 2.0**-32) * stddev + mean)


def truncated_normal(key: Array, shape: Shape, mean: float, stddev: float, dtype: str) -> Array:
    """Floats from the normal distribution between -2 and 2 standard deviations."""
    share = (1.0 - 2.0 * BELOW_TWO) * 2.0**-32

    def scale(words: Array) -> Array:
        return normal_quantile((words + 0.5) * share + BELOW_TWO) * stddev + mean

    return _fill(key, shape, dtype, scale)


def _fill(key: Array, shape: Shape, dtype: str, scale: Callable[[Array], Array]) -> Array:
    """`shape` numbers made by `scale` from uint32 words: counter (i, key[1]) under key[0] gives 2i, 2i+1."""
    total = size(shape)
    result = np.empty(total, dtypes.to_numpy(dtype))
    words = np.empty((BLOCK, 2), np.uint32)
    for start in range(0, total, 2 * BLOCK):
        stop = min(start + 2 * BLOCK, total)
        counters = np.arange(start // 2, (stop + 1) // 2, dtype=np.uint64)
        words[: len(counters), 0], words[: len(counters), 1] = philox2x32((counters, key[1]), int(key[0]))
        result[start:stop] = scale(words.reshape(-1)[: stop - start])
    return result.reshape(shape)


# Coefficients of Wichura's algorithm, constant term first: numerator and denominator.
_CENTRE = (
    (3.3871327179, 50.434271938, 159.29113202, 59.109374720),
    (1.0, 17.895169469, 78.757757664, 67.187563600),
)
_TAILS = (1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103), (1.0, 0.73700164250, 0.12021132975)


def normal_quantile(probability: Array) -> Array:
    """Where the normal distribution function has this value, to 7 digits, for 2**-33 ... 1 - 2**-33.

    Source: M. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution" (1988), PPND7;
    its branch for probabilities below exp(-25) is not needed here.
    """
    centred = probability - 0.5
    squared = 0.180625 - centred * centred
    result: Array = centred * (_polynomial(_CENTRE[0], squared) / _polynomial(_CENTRE[1], squared))
    tails = np.flatnonzero(squared < 0)
    outside = centred[tails]
    distance = np.sqrt(-_log(0.5 - np.abs(outside))) - 1.6
    result[tails] = np.copysign(_polynomial(_TAILS[0], distance) / _polynomial(_TAILS[1], distance), outside)
    return result


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Horner's rule."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += coefficient
    return total


_LOG_SERIES = tuple(2.0 / (2 * term + 1) for term in range(9))


def _log(x: Array) -> Array:
    """The natural logarithm to 10 digits: log(m 2**e) = e log 2 + 2 artanh((m - 1) / (m + 1))."""
    mantissa, exponent = np.frexp(x)
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    return exponent * 0.6931471805599453 + ratio * _polynomial(_LOG_SERIES, ratio * ratio)
