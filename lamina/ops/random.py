"""Random numbers as pure functions of a key: the same key gives the same numbers everywhere.

Every function takes first a key, uint32[2]; one key must be used once. Two draws from one key are made by
asking for bits of a larger shape. `lamina.random` keeps the keys for the user.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, DTypeError, StateError
from lamina.core.shapes import normalize_axis
from lamina.ir import primitives as p
from lamina.ir.trace import Tensor
from lamina.ops.convert import as_float, as_tensor, dtype_of, elementwise, lift, like, spread, wider_float
from lamina.ops.move import as_shape, reshaped, slice_axis
from lamina.ops.special import erfinv_single

# How many random bits the fraction of a uniform number has: as many as its dtype can hold exactly.
_FRACTION_BITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
_GAMMA_TRIES = 8

_key_of: Callable[[Any], Any] | None = None


def set_seed_reader(key_of: Callable[[Any], Any]) -> None:
    """Who knows the key that a `seed` argument stands for: `lamina.random` does, with its generators."""
    global _key_of
    _key_of = key_of


def key_of(seed: Any) -> Any:
    """The key for a `seed` argument: a whole number, a `SeedGenerator`, or None for the global generator."""
    if _key_of is not None:
        return _key_of(seed)
    if isinstance(seed, int):
        return key_of_number(seed)
    raise StateError(
        "No generator of random numbers is there yet.", fix="import lamina.random, or give a number as seed."
    )


def key_of_number(seed: int) -> Any:
    """The key that a whole number stands for."""
    return np.array([fold_seed(seed), 0], np.uint32)


def fold_seed(seed: int) -> int:
    """A seed of up to 64 bits as 32 bits."""
    return (seed ^ (seed >> 32)) & 0xFFFFFFFF if seed >= 0 else seed & 0xFFFFFFFF


def bits(key: Any, shape: Any) -> Any:
    """32 random bits for each element of `shape`, as uint32."""
    return p.random_bits(as_tensor(key), shape=as_shape(shape))


def _two_words(key: Any, shape: tuple[int, ...]) -> Any:
    """64 random bits for each element, as uint64."""
    both = as_tensor(bits(key, (2, *shape)), "uint64")
    high, low = (reshaped(slice_axis(both, 0, word, word + 1), shape) for word in (0, 1))
    return p.bitwise_or(p.shift_left(high, like(high, 32)), low)


def _float_dtype(dtype: Any) -> str:
    kind = dtypes.standardize(dtype)
    if not dtypes.is_float(kind):
        raise DTypeError(f"This distribution gives floats, got dtype {kind}.")
    return kind


def _fraction(key: Any, shape: tuple[int, ...], dtype: str) -> tuple[Any, int]:
    """(whole numbers k as floats, n): k is uniform from 0 to 2**n - 1."""
    count = _FRACTION_BITS[dtype]
    words = bits(key, shape) if count <= 32 else _two_words(key, shape)
    width = 32 if count <= 32 else 64
    return as_tensor(p.shift_right(words, like(words, width - count)), dtype), count


def _unit(key: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """Uniform on [0, 1)."""
    whole, count = _fraction(key, shape, dtype)
    return p.multiply(whole, like(whole, 2.0**-count))


def _open_unit(key: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """Uniform strictly between 0 and 1."""
    whole, count = _fraction(key, shape, dtype)
    return p.multiply(p.add(whole, like(whole, 0.5)), like(whole, 2.0**-count))


def uniform(key: Any, shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None) -> Any:
    """Uniform from minval up to, but without, maxval."""
    kind, shape = _float_dtype(dtype), as_shape(shape)
    fraction = _unit(key, shape, kind)
    known = isinstance(minval, (int, float)) and isinstance(maxval, (int, float))
    if known and minval == 0 and maxval == 1:
        return fraction
    low, high = as_tensor(minval, kind), as_tensor(maxval, kind)
    drawn = elementwise(p.add, elementwise(p.multiply, fraction, elementwise(p.subtract, high, low)), low)
    if not known or minval >= maxval:
        return drawn
    # Rounding may reach maxval itself.
    numpy_kind = dtypes.to_numpy(kind)
    last = float(np.nextafter(numpy_kind.type(maxval), numpy_kind.type(minval)))
    return p.minimum(drawn, like(drawn, last))


def normal(key: Any, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None) -> Any:
    """Normal, by inverting the distribution function."""
    kind, shape = _float_dtype(dtype), as_shape(shape)
    compute = "float64" if kind == "float64" else "float32"
    whole, count = _fraction(key, shape, compute)
    # Odd multiples of 2**-n: uniform strictly between -1 and 1, symmetric, and exact.
    centred = p.add(p.multiply(whole, like(whole, 2.0 ** (1 - count))), like(whole, 2.0**-count - 1))
    return _scaled(_normal_at(centred), mean, stddev, kind)


def _normal_at(centred: Any) -> Any:
    """The normal number that lies at this place of the distribution function, which runs from -1 to 1."""
    return p.multiply(erfinv_single(centred), like(centred, math.sqrt(2)))


def _scaled(x: Any, mean: Any, stddev: Any, dtype: str) -> Any:
    if not _is_number(stddev, 1):
        x = elementwise(p.multiply, x, as_tensor(stddev, dtype_of(x)))
    if not _is_number(mean, 0):
        x = elementwise(p.add, x, as_tensor(mean, dtype_of(x)))
    return as_tensor(x, dtype)


def _is_number(x: Any, number: float) -> bool:
    return isinstance(x, (int, float)) and x == number


def truncated_normal(key: Any, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None) -> Any:
    """Normal, but never further than two standard deviations from the mean."""
    kind, shape = _float_dtype(dtype), as_shape(shape)
    compute = "float64" if kind == "float64" else "float32"
    edge = math.erf(math.sqrt(2))
    unit = _open_unit(key, shape, compute)
    drawn = _normal_at(p.add(p.multiply(unit, like(unit, 2 * edge)), like(unit, -edge)))
    drawn = p.minimum(p.maximum(drawn, like(drawn, -2)), like(drawn, 2))
    return _scaled(drawn, mean, stddev, kind)


def bernoulli(key: Any, shape: Any, probability: Any = 0.5) -> Any:
    """True with this probability, else False."""
    if isinstance(probability, (int, float)):
        if not 0 <= probability <= 1:
            raise ArgumentError(f"A probability must lie from 0 to 1, got {probability}.")
        drawn, limit = bits(key, shape), round(probability * 2**32)
        return p.less(drawn, like(drawn, limit)) if limit < 2**32 else p.equal(drawn, drawn)
    chance = as_float(probability)
    unit = _unit(key, as_shape(shape), wider_float(dtype_of(chance)))
    return elementwise(p.less, unit, as_tensor(chance, dtype_of(unit)))


def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = "int32") -> Any:
    """Whole numbers from minval up to, but without, maxval, all equally likely."""
    kind, shape = dtypes.standardize(dtype), as_shape(shape)
    if not dtypes.is_integer(kind):
        raise DTypeError(f"randint gives integers, got dtype {kind}.")
    if isinstance(minval, int) and isinstance(maxval, int) and minval >= maxval:
        raise ArgumentError(f"randint: minval {minval} must be below maxval {maxval}.")
    low, high = as_tensor(minval, "int64"), as_tensor(maxval, "int64")
    span = as_tensor(elementwise(p.subtract, high, low), "uint64")
    offset = as_tensor(elementwise(p.remainder, _two_words(key, shape), span), "int64")
    return as_tensor(elementwise(p.add, offset, low), kind)


def categorical(key: Any, logits: Any, num_samples: int, dtype: Any = "int32") -> Any:
    """Class numbers drawn by unnormalised log-probabilities: (batch, classes) to (batch, num_samples)."""
    logits = as_float(logits)
    if len(logits.shape) != 2:
        raise ArgumentError(f"categorical takes logits (batch, classes), got shape {logits.shape}.")
    batch, classes = logits.shape
    shape = (batch, num_samples, classes)
    kind = wider_float(dtype_of(logits))
    # The largest of the logits plus Gumbel noise is distributed as softmax(logits).
    noise = p.negative(p.log(p.negative(p.log(_open_unit(key, shape, kind)))))
    spread_logits = p.broadcast(as_tensor(logits, kind), shape=shape, axes=(0, 2))
    return as_tensor(p.argmax(p.add(spread_logits, noise), axis=2), dtypes.standardize(dtype))


def permutation(key: Any, count: int) -> Any:
    """0 to count - 1 in random order, as int32."""
    return p.sort(bits(key, (count,)), axis=0, descending=False)[1]


def shuffle(key: Any, x: Any, axis: int = 0) -> Any:
    """x with the entries along an axis in random order."""
    x = as_tensor(x)
    place = normalize_axis(axis, len(x.shape))
    return p.gather(x, permutation(key, x.shape[place]), axis=place) if x.size else x


def gamma(key: Any, shape: Any, alpha: Any, dtype: Any = None) -> Any:
    """Gamma with shape parameter alpha and scale 1."""
    kind = _float_dtype(dtype)
    return as_tensor(p.exp(_log_gamma(key, as_shape(shape), alpha, wider_float(kind), 0, 1)), kind)


def _log_gamma(key: Any, shape: tuple[int, ...], alpha: Any, dtype: str, part: int, parts: int) -> Any:
    """The logarithm of a gamma variate, from share `part` of the bits that `parts` draws need.

    Source: G. Marsaglia, W. Tsang, "A Simple Method for Generating Gamma Variables" (2000). At least 95 % of
    the proposals are accepted; the first accepted one of eight is taken, and with probability below 1e-10 the
    first. For alpha < 1, gamma(alpha) is gamma(alpha + 1) u^(1 / alpha).
    """
    rows = 2 * _GAMMA_TRIES + 1
    unit = _open_unit(key, (parts * rows, *shape), dtype)
    start = part * rows
    uniforms, places, boosts = (
        slice_axis(unit, 0, start + low, start + high)
        for low, high in ((0, _GAMMA_TRIES), (_GAMMA_TRIES, rows - 1), (rows - 1, rows))
    )
    alpha = as_tensor(as_float(alpha), dtype)
    alpha = spread(lift(alpha) if isinstance(unit, Tensor) else alpha, shape)
    is_small = p.less(alpha, like(alpha, 1))
    d = p.subtract(p.select(is_small, p.add(alpha, like(alpha, 1)), alpha), like(alpha, 1 / 3))
    wide_d = spread(d, uniforms.shape)
    # Proposals d v with v = (1 + c x)^3 for a normal x.
    x = _normal_at(p.subtract(p.multiply(places, like(places, 2)), like(places, 1)))
    base = p.add(p.multiply(p.rsqrt(p.multiply(wide_d, like(wide_d, 9))), x), like(x, 1))
    is_positive = p.greater(base, like(base, 0))
    base = p.select(is_positive, base, like(base, 1))
    v = p.multiply(base, p.multiply(base, base))
    half_square = p.multiply(p.multiply(x, x), like(x, 0.5))
    bound = p.add(half_square, p.multiply(wide_d, p.add(p.subtract(like(v, 1), v), p.log(v))))
    accepted = p.bitwise_and(is_positive, p.less(p.log(uniforms), bound))
    result = p.add(p.log(d), p.log(_first(v, accepted)))
    boost = p.divide(p.log(reshaped(boosts, shape)), p.select(is_small, alpha, like(alpha, 1)))
    return p.select(is_small, p.add(result, boost), result)


def _first(x: Any, accepted: Any) -> Any:
    """Along the first axis, the first accepted element; the very first if there is none."""
    place = p.argmax(accepted, axis=0)
    number = p.iota(shape=x.shape, axis=0, dtype="int32")
    is_chosen = elementwise(p.equal, number, place)
    return p.reduce_sum(p.select(is_chosen, x, like(x, 0)), axes=(0,))


def beta(key: Any, shape: Any, alpha: Any, beta: Any, dtype: Any = None) -> Any:
    """Beta with these two parameters: g / (g + h) of two gamma variates."""
    kind, shape = _float_dtype(dtype), as_shape(shape)
    compute = wider_float(kind)
    first = _log_gamma(key, shape, alpha, compute, 0, 2)
    second = _log_gamma(key, shape, beta, compute, 1, 2)
    return as_tensor(p.sigmoid(p.subtract(first, second)), kind)


def binomial(key: Any, shape: Any, counts: Any, probabilities: Any, dtype: Any = None) -> Any:
    """How many of `counts` trials succeed. The counts must be known when the program is traced."""
    kind, shape = dtypes.standardize(dtype), as_shape(shape)
    counts = as_tensor(counts)
    if isinstance(counts, Tensor):
        raise ArgumentError("binomial needs counts that are known when the program is traced.")
    trials = int(np.max(np.asarray(counts))) if counts.size else 0
    unit = _unit(key, (trials, *shape), "float32")
    chance = as_tensor(as_float(probabilities), "float32")
    number = p.iota(shape=unit.shape, axis=0, dtype="int32")
    hit = elementwise(p.less, unit, chance)
    takes_part = elementwise(p.less, number, as_tensor(counts, "int32"))
    return as_tensor(p.reduce_sum(as_tensor(p.bitwise_and(hit, takes_part), "int32"), axes=(0,)), kind)
