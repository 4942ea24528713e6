"""AdamW: Adam whose weight decay stands apart from the gradient."""

from __future__ import annotations

from typing import Any, Unpack

from lamina.core.errors import ArgumentError
from lamina.optimizers.adam import Adam
from lamina.optimizers.base import REGISTRY, CommonOptions


class AdamW(Adam):
    """AdamW: w := w - weight_decay * learning_rate * w, then the update of Adam.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019).
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[CommonOptions],
    ) -> None:
        if weight_decay is None:
            raise ArgumentError("AdamW needs a weight_decay.", expected="a number", fix="or use Adam.")
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options
        )


REGISTRY.register(AdamW)
