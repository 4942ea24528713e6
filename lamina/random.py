"""Random numbers with the names of keras.random. A draw is a pure function of (seed, number of draws before).

A `seed` argument is a whole number (the same numbers at every call), a SeedGenerator (new numbers at every
call), or None: the global generator, which `set_random_seed` makes deterministic. All three also work inside
a trace, where a generator's state is state of the program.
"""

from __future__ import annotations

import operator
import random as python_random
from collections.abc import Mapping
from typing import Any

import numpy as np

from lamina import ops
from lamina.core.errors import ArgumentError
from lamina.core.naming import auto_name, name_scope
from lamina.core.serialization import Registry
from lamina.ops import random as stateless
from lamina.ops.registry import op
from lamina.variables import Variable

_COUNT_ONE = np.array([0, 1], np.uint32)

# Seeds for generators that were given none; apart from Python's own, so that nobody else's draws shift ours.
_default_seeds = python_random.Random()
_global_generator: SeedGenerator | None = None


class SeedGenerator:
    """A source of keys for random functions: its state is (seed, number of keys given so far).

    seed: a whole number, or None for one that differs from run to run unless `set_random_seed` was called.

    >>> seeds = SeedGenerator(seed=1337)
    >>> lamina.random.normal((2,), seed=seeds)  # and other numbers at the next call
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        self.name = auto_name(type(self).__name__) if name is None else name
        self._initial_seed = seed
        number = make_default_seed() if seed is None else checked_seed(seed)
        with name_scope(self.name, caller=self):
            self.state = Variable(
                stateless.key_of_number(number),
                trainable=False,
                name="seed_generator_state",
            )

    def next(self, ordered: bool = True) -> Any:
        """The state now, uint32[2], to be used as a key; then counts on. `ordered` is accepted for Keras."""
        key = self.state.value
        self.state.assign(ops.add(key, _COUNT_ONE))
        return key

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SeedGenerator:
        return cls(**config)


def checked_seed(seed: Any) -> int:
    """`seed` as a Python whole number; ArgumentError for anything else."""
    try:
        return operator.index(seed)
    except TypeError:
        raise ArgumentError(
            f"A seed must be a whole number, got {seed!r}.", expected="an int, a SeedGenerator, or None"
        ) from None


def make_default_seed() -> int:
    """A new seed for something that was given none."""
    return _default_seeds.randint(1, 10**9)


def global_seed_generator() -> SeedGenerator:
    """The generator of calls without a seed."""
    global _global_generator
    if _global_generator is None:
        _global_generator = SeedGenerator(name="global_seed_generator")
    return _global_generator


def global_states() -> list[Variable]:
    """The state of the generator of calls without a seed, if there were any."""
    return [] if _global_generator is None else [_global_generator.state]


def draw_seed(seed: int | SeedGenerator | None) -> Any:
    """The key, uint32[2], that a `seed` argument stands for."""
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if seed is None:
        return global_seed_generator().next()
    return stateless.key_of_number(checked_seed(seed))


stateless.set_seed_reader(draw_seed)


def set_random_seed(seed: int) -> None:
    """Make all that is random from here on repeatable: Lamina, NumPy's global generator, Python's `random`.

    Generators and layers that exist already keep their state. Raises ArgumentError unless 0 <= seed < 2**32.
    """
    global _global_generator
    seed = checked_seed(seed)
    if not 0 <= seed < 2**32:
        raise ArgumentError(f"The random seed must lie between 0 and 2**32 - 1, got {seed}.")
    python_random.seed(seed)
    np.random.seed(seed)
    _default_seeds.seed(seed)
    _global_generator = None


Seed = int | SeedGenerator | None


def uniform(shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Seed = None) -> Any:
    """Floats spread evenly over [minval, maxval)."""
    return stateless.uniform(draw_seed(seed), shape, minval, maxval, dtype)


def normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Seed = None) -> Any:
    """Floats from the normal distribution."""
    return stateless.normal(draw_seed(seed), shape, mean, stddev, dtype)


def truncated_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Seed = None
) -> Any:
    """Floats from the normal distribution, those beyond two standard deviations drawn again."""
    return stateless.truncated_normal(draw_seed(seed), shape, mean, stddev, dtype)


def randint(shape: Any, minval: Any, maxval: Any, dtype: Any = "int32", seed: Seed = None) -> Any:
    """Whole numbers spread evenly over minval, ..., maxval - 1."""
    return stateless.randint(draw_seed(seed), shape, minval, maxval, dtype)


@op
def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Seed = None) -> Any:
    """`num_samples` class numbers for each row of `logits`, unnormalised log-probabilities."""
    return stateless.categorical(draw_seed(seed), logits, num_samples, dtype)


@op
def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Seed = None) -> Any:
    """`inputs` with a fraction `rate` of elements set to 0, the others scaled by 1 / (1 - rate).

    noise_shape: the shape of the random choice, broadcast to the inputs: 1 where neighbours share their fate,
    None where the extent is that of the inputs.
    """
    if not 0 <= rate <= 1:
        raise ArgumentError(f"The dropout rate must lie between 0 and 1, got {rate}.")
    inputs = ops.convert_to_tensor(inputs)
    if rate == 0:
        return inputs
    shape = tuple(inputs.shape)
    if noise_shape is not None:
        shape = tuple(given or own for given, own in zip(noise_shape, shape, strict=True))
    kept = stateless.bernoulli(draw_seed(seed), shape, 1 - rate)
    return ops.where(kept, inputs * (1 / (1 - rate) if rate < 1 else 0.0), 0)


@op
def shuffle(x: Any, axis: int = 0, seed: Seed = None) -> Any:
    """`x` with its slices along `axis` in random order."""
    return stateless.shuffle(draw_seed(seed), x, axis)


def gamma(shape: Any, alpha: Any, dtype: Any = None, seed: Seed = None) -> Any:
    """Floats from the gamma distribution with shape parameter `alpha` and scale 1."""
    return stateless.gamma(draw_seed(seed), shape, alpha, dtype)


def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Seed = None) -> Any:
    """Floats from the beta distribution with parameters `alpha` and `beta`."""
    return stateless.beta(draw_seed(seed), shape, alpha, beta, dtype)


def binomial(shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Seed = None) -> Any:
    """How many of `counts` trials succeed, each with its probability."""
    return stateless.binomial(draw_seed(seed), shape, counts, probabilities, dtype)


_REGISTRY = Registry("seed generator")
_REGISTRY.register(SeedGenerator)
