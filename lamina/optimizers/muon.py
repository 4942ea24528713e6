"""Muon: for matrices, a momentum made orthogonal; for everything else AdamW."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from lamina import ops
from lamina.optimizers.base import REGISTRY, Optimizer
from lamina.variables import Variable


class Muon(Optimizer):
    """Muon.

        m := momentum * m + g
        d = g + momentum * m                              (m itself without `nesterov`)
        w := w - learning_rate * rms_rate * sqrt(max(rows, columns)) * orthogonal(d)

    `orthogonal` gives a matrix the same singular vectors and singular values near 1: `ns_steps` times
    X := muon_a * X + (muon_b * A + muon_c * A @ A) @ X with A = X @ X.T, from X = d / |d|. With rms_rate=None
    that factor and the square root are left out.

    Only variables of rank 2 are updated so; those of other ranks, embeddings (with `exclude_embeddings`) and
    those whose path matches one of `exclude_layers` (regular expressions) follow Adam, at the learning rate
    times `adam_lr_ratio`, with `adam_beta_1`, `adam_beta_2`, `adam_weight_decay`, and epsilon.
    The other arguments: see Optimizer.
    Sources: Jordan et al., "Muon" (2024); Liu et al., "Muon is Scalable for LLM Training" (2025).
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **unknown: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
            **unknown,
        )
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = list(exclude_layers or [])
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums: list[Any] = []
        self._velocities: list[Any] = []
        for variable in variables:
            momentum = velocity = None
            if not variable.overwrite_with_gradient:
                momentum = self.add_variable_from_reference(variable, "momentum")
                if self._follows_adam(variable):
                    velocity = self.add_variable_from_reference(variable, "velocity")
            self._momentums.append(momentum)
            self._velocities.append(velocity)

    def _follows_adam(self, variable: Variable) -> bool:
        if variable.ndim != 2 or (self.exclude_embeddings and "embedding" in variable.path.lower()):
            return True
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def _decay_of(self, variable: Variable) -> float | None:
        if not self._use_weight_decay(variable):
            return None
        return self.adam_weight_decay if self._follows_adam(variable) else self.weight_decay

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        g = ops.cast(gradient, variable.dtype)
        momentum, velocity = self._momentums[index], self._velocities[index]
        if velocity is None:
            self._orthogonal_step(g, variable, learning_rate, momentum)
            return
        m = momentum.assign(momentum + (g - momentum) * (1 - self.adam_beta_1))
        v = velocity.assign(velocity + (ops.square(g) - velocity) * (1 - self.adam_beta_2))
        rate = self.shared(variable.dtype, lambda: self._adam_rate(learning_rate, variable.dtype))
        variable.assign(variable - m * rate / (ops.sqrt(v) + self.epsilon))

    def _orthogonal_step(self, g: Any, variable: Variable, learning_rate: Any, momentum: Variable) -> None:
        m = momentum.assign(momentum * self.momentum + g)
        rate = ops.cast(learning_rate, variable.dtype)
        if self.rms_rate is not None:
            rate = rate * (self.rms_rate * max(variable.shape) ** 0.5)
        direction = g + m * self.momentum if self.nesterov else m
        variable.assign(variable - self._orthogonal(direction) * rate)

    def _orthogonal(self, matrix: Any) -> Any:
        """About U @ V.T for the matrix U @ S @ V.T, by Newton and Schulz's iteration."""
        tall = matrix.shape[0] > matrix.shape[1]
        x = ops.transpose(matrix) if tall else matrix
        x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
        for _ in range(self.ns_steps):
            a = ops.matmul(x, ops.transpose(x))
            x = x * self.muon_a + ops.matmul(a * self.muon_b + ops.matmul(a, a) * self.muon_c, x)
        return ops.transpose(x) if tall else x

    def _adam_rate(self, learning_rate: Any, dtype: str) -> Any:
        t = self.update_number(dtype)
        rate = ops.cast(learning_rate, t.dtype) * self.adam_lr_ratio
        return ops.cast(rate * ops.sqrt(1 - self.adam_beta_2**t) / (1 - self.adam_beta_1**t), dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "adam_beta_1": self.adam_beta_1,
            "adam_beta_2": self.adam_beta_2,
            "epsilon": self.epsilon,
            "exclude_layers": self.exclude_layers,
            "muon_a": self.muon_a,
            "muon_b": self.muon_b,
            "muon_c": self.muon_c,
            "adam_lr_ratio": self.adam_lr_ratio,
            "momentum": self.momentum,
            "ns_steps": self.ns_steps,
            "nesterov": self.nesterov,
            "exclude_embeddings": self.exclude_embeddings,
            "adam_weight_decay": self.adam_weight_decay,
            "rms_rate": self.rms_rate,
        }


REGISTRY.register(Muon)
