"""Activation functions: `activations.get("relu")`. Each works on arrays, traced tensors and KerasTensors.

What they compute is written in `lamina.ops`; here are the names and defaults that layers use.
"""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.core.errors import ArgumentError
from lamina.core.serialization import Registry

REGISTRY = Registry("activation")


@REGISTRY.register
def linear(x: Any) -> Any:
    """x"""
    return x


# --- rectifiers ------------------------------------------------------------------------------------


@REGISTRY.register
def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """max(x, 0); or x above `threshold`, negative_slope * (x - threshold) below it, and at most `max_value`.

    >>> relu(np.array([-2.0, 1.0, 9.0]), negative_slope=0.5, max_value=6)
    Array([-1.,  1.,  6.])
    """
    if negative_slope < 0:
        raise ArgumentError(f"The negative_slope of relu cannot be {negative_slope}.", expected="at least 0")
    if max_value is not None and max_value < 0:
        raise ArgumentError(f"The max_value of relu cannot be {max_value}.", expected="at least 0, or None")
    if max_value is None and not threshold:
        return ops.leaky_relu(x, negative_slope) if negative_slope else ops.relu(x)
    above = ops.where(ops.greater(x, threshold), x, 0) if threshold else ops.relu(x)
    if max_value is not None:
        above = ops.minimum(above, max_value)
    return above - negative_slope * ops.relu(threshold - x) if negative_slope else above


@REGISTRY.register
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x above 0, negative_slope * x below. Source: Maas et al. (2013)."""
    return ops.leaky_relu(x, negative_slope)


@REGISTRY.register
def relu6(x: Any) -> Any:
    """min(max(x, 0), 6). Source: Krizhevsky (2010)."""
    return ops.relu6(x)


@REGISTRY.register
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x above 0, alpha * (exp(x) - 1) below. Source: Clevert et al. (2016)."""
    return ops.elu(x, alpha)


@REGISTRY.register
def celu(x: Any, alpha: float = 1.0) -> Any:
    """max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0). Source: Barron (2017)."""
    return ops.celu(x, alpha)


@REGISTRY.register
def selu(x: Any) -> Any:
    """1.0507 * elu(x, 1.6733), which keeps mean 0 and variance 1. Source: Klambauer et al. (2017)."""
    return ops.selu(x)


@REGISTRY.register
def softplus(x: Any) -> Any:
    """log(1 + exp(x))"""
    return ops.softplus(x)


@REGISTRY.register
def squareplus(x: Any, b: float = 4) -> Any:
    """(x + sqrt(x**2 + b)) / 2. Source: Barron (2021)."""
    return ops.squareplus(x, b)


@REGISTRY.register
def sparse_plus(x: Any) -> Any:
    """0 up to -1, (x + 1)**2 / 4 between, x from 1. Source: Martins and Astudillo (2016)."""
    return ops.sparse_plus(x)


# --- sigmoids --------------------------------------------------------------------------------------


@REGISTRY.register
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))"""
    return ops.sigmoid(x)


@REGISTRY.register
def hard_sigmoid(x: Any) -> Any:
    """x / 6 + 1 / 2, kept between 0 and 1."""
    return ops.hard_sigmoid(x)


@REGISTRY.register
def sparse_sigmoid(x: Any) -> Any:
    """(x + 1) / 2, kept between 0 and 1: the derivative of sparse_plus."""
    return ops.sparse_sigmoid(x)


@REGISTRY.register
def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x)) = -softplus(-x)"""
    return ops.log_sigmoid(x)


@REGISTRY.register
def tanh(x: Any) -> Any:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))"""
    return ops.tanh(x)


@REGISTRY.register
def hard_tanh(x: Any) -> Any:
    """x kept between -1 and 1."""
    return ops.hard_tanh(x)


@REGISTRY.register
def softsign(x: Any) -> Any:
    """x / (1 + |x|)"""
    return ops.softsign(x)


# --- gated and shrinking ---------------------------------------------------------------------------


def silu(x: Any) -> Any:
    """x * sigmoid(x), also known as swish. Source: Ramachandran et al. (2017)."""
    return ops.silu(x)


def hard_silu(x: Any) -> Any:
    """x * hard_sigmoid(x). Source: Howard et al. (2019)."""
    return ops.hard_silu(x)


@REGISTRY.register
def gelu(x: Any, approximate: bool = False) -> Any:
    """x * P(X <= x) for a standard normal X; approximately with tanh on request.

    Source: Hendrycks and Gimpel (2016).
    """
    return ops.gelu(x, approximate)


@REGISTRY.register
def mish(x: Any) -> Any:
    """x * tanh(softplus(x)). Source: Misra (2019)."""
    return ops.multiply(x, ops.tanh(ops.softplus(x)))


@REGISTRY.register
def glu(x: Any, axis: int = -1) -> Any:
    """a * sigmoid(b), where a and b are the halves of x along `axis`. Source: Dauphin et al. (2017)."""
    return ops.glu(x, axis)


@REGISTRY.register
def tanh_shrink(x: Any) -> Any:
    """x - tanh(x)"""
    return ops.tanh_shrink(x)


@REGISTRY.register
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x moved towards 0 by the threshold, 0 within it."""
    return ops.soft_shrink(x, threshold)


@REGISTRY.register
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x where |x| is above the threshold, 0 elsewhere."""
    return ops.hard_shrink(x, threshold)


@REGISTRY.register
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """x where it is above the threshold, default_value elsewhere."""
    return ops.threshold(x, threshold, default_value)


@REGISTRY.register
def exponential(x: Any) -> Any:
    """exp(x)"""
    return ops.exp(x)


# --- distributions ---------------------------------------------------------------------------------


@REGISTRY.register
def softmax(x: Any, axis: int | tuple[int, ...] = -1) -> Any:
    """exp(x) / sum(exp(x)) along `axis`."""
    return ops.softmax(x, axis)


@REGISTRY.register
def log_softmax(x: Any, axis: int | tuple[int, ...] = -1) -> Any:
    """x - log(sum(exp(x))) along `axis`."""
    return ops.log_softmax(x, axis)


@REGISTRY.register
def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest distribution to x along `axis`; it may hold zeros. Source: Martins and Astudillo (2016)."""
    return ops.sparsemax(x, axis)


REGISTRY.register(silu, "swish")
REGISTRY.register(hard_silu, "hard_swish")


def get(identifier: Any) -> Any:
    """The function meant by a name, a config or a callable; None is `linear`.

    Raises ArgumentError for an unknown name, with the nearest one that exists.
    """
    return linear if identifier is None else REGISTRY.get(identifier)


serialize = REGISTRY.serialize
deserialize = REGISTRY.deserialize
swish, hard_swish = silu, hard_silu
