"""Schedules that follow half a cosine wave: once, after a warm-up, or again and again.

Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017).
"""

from __future__ import annotations

import math
from typing import Any

from lamina import ops
from lamina.optimizers.schedules.base import REGISTRY, LearningRateSchedule, as_float, positive


def half_wave(fraction: Any) -> Any:
    """From 1 at fraction 0 to 0 at fraction 1."""
    return 0.5 * (1.0 + ops.cos(math.pi * fraction))


class CosineDecay(LearningRateSchedule):
    """A line from `initial_learning_rate` to `warmup_target` over `warmup_steps`, then a half wave downwards.

    The wave takes `decay_steps`, from the target (without one: the initial rate) to `alpha` times it.
    Source of the warm-up: Goyal et al., "Accurate, Large Minibatch SGD" (2017).
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = positive(self, "decay_steps", decay_steps)
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        step = as_float(step)
        if self.warmup_target is None:
            return self._decayed(step, self.initial_learning_rate)
        decayed = self._decayed(step - self.warmup_steps, self.warmup_target)
        if not self.warmup_steps:
            return decayed
        rise = self.warmup_target - self.initial_learning_rate
        warming = self.initial_learning_rate + rise * (step / self.warmup_steps)
        return ops.where(step < self.warmup_steps, warming, decayed)

    def _decayed(self, step: Any, top: float) -> Any:
        fraction = ops.minimum(step, self.decay_steps) / self.decay_steps
        return top * ((1 - self.alpha) * half_wave(fraction) + self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Half waves downwards, one after the other: the first takes `first_decay_steps`.

    Each later one takes `t_mul` times as long and starts `m_mul` times as high as the one before; all end at
    `alpha * initial_learning_rate`.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = positive(self, "first_decay_steps", first_decay_steps)
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: Any) -> Any:
        periods = as_float(step) / self.first_decay_steps
        if self.t_mul == 1:
            restarts = ops.floor(periods)
            fraction = periods - restarts
        else:
            # After r restarts 1 + t + ... + t**(r - 1) = (1 - t**r) / (1 - t) first periods have passed.
            restarts = ops.floor(ops.log(1.0 - periods * (1.0 - self.t_mul)) / math.log(self.t_mul))
            length = self.t_mul**restarts
            fraction = (periods - (1.0 - length) / (1.0 - self.t_mul)) / length
        height = self.m_mul**restarts * half_wave(fraction)
        return self.initial_learning_rate * ((1 - self.alpha) * height + self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self.t_mul,
            "m_mul": self.m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }


REGISTRY.register(CosineDecay)
REGISTRY.register(CosineDecayRestarts)
