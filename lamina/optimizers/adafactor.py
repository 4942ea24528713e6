"""Adafactor: the mean squares of a matrix from those of its rows and columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class Adafactor(Optimizer):
    """Adafactor.

        rho = min(learning_rate, 1 / sqrt(t));   b = 1 - t**beta_2_decay;   s = g**2 + epsilon_1
        r := b * r + (1 - b) * mean of s over columns     for variables of rank 2 and more, along the
        c := b * c + (1 - b) * mean of s over rows        last two axes
        v := r * c / mean(r);                             for others v := b * v + (1 - b) * s
        u = g / sqrt(v)
        w := w - max(epsilon_2, rms(w)) * rho * u / max(1, rms(u) / clip_threshold)

    with t = 1, 2, ... the number of the update. relative_step: as in Keras, without effect, since the rate
    never exceeds 1 / sqrt(t). The other arguments: see Optimizer.
    Source: Shazeer and Stern, "Adafactor" (2018).
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._rows: list[Any] = []
        self._columns: list[Any] = []
        self._velocities: list[Any] = []
        for variable in variables:
            rows = columns = velocity = None
            if not variable.overwrite_with_gradient:
                shape, dtype, name = variable.shape, variable.dtype, variable.name
                factored = len(shape) >= 2
                # For other ranks Keras has two unused numbers here: with them saved states fit.
                of_rows, of_columns = (shape[:-1], (*shape[:-2], shape[-1])) if factored else ((), ())
                rows = self.add_variable(of_rows, "zeros", dtype if factored else "int", name=name)
                columns = self.add_variable(of_columns, "zeros", dtype if factored else "int", name=name)
                velocity = self.add_variable_from_reference(variable, "velocity")
            self._rows.append(rows)
            self._columns.append(columns)
            self._velocities.append(velocity)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        g = ops.cast(gradient, variable.dtype)
        rho, b = self.shared(variable.dtype, lambda: self._factors(learning_rate, variable.dtype))
        squares = ops.square(g) + self.epsilon_1
        rows, columns, velocity = self._rows[index], self._columns[index], self._velocities[index]
        if variable.ndim < 2:
            v = velocity.assign(velocity * b + squares * (1 - b))
        else:
            r = rows.assign(rows * b + ops.mean(squares, axis=-1) * (1 - b))
            c = columns.assign(columns * b + ops.mean(squares, axis=-2) * (1 - b))
            share = r / ops.mean(r, axis=-1, keepdims=True)
            v = velocity.assign(ops.expand_dims(share, -1) * ops.expand_dims(c, -2))
        u = g / ops.sqrt(v)
        length = ops.maximum(1.0, _root_mean_square(u) / self.clip_threshold)
        rate = ops.maximum(self.epsilon_2, _root_mean_square(variable)) * rho / length
        variable.assign(variable - u * ops.cast(rate, variable.dtype))

    def _factors(self, learning_rate: Any, dtype: str) -> tuple[Any, Any]:
        """rho and b of this update."""
        t = self.update_number(dtype)
        rho = ops.minimum(ops.cast(learning_rate, t.dtype), 1 / ops.sqrt(t))
        return ops.cast(rho, dtype), ops.cast(1 - t**self.beta_2_decay, dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_2_decay": self.beta_2_decay,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
        }


def _root_mean_square(x: Any) -> Any:
    return ops.sqrt(ops.mean(ops.square(x)))


REGISTRY.register(Adafactor)
