"""What every optimizer takes beside its own hyperparameters, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from lamina.core.errors import ArgumentError, nearest


class CommonOptions(TypedDict, total=False):
    """What every optimizer takes beside its own hyperparameters; see `Optimizer`."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


class Options(CommonOptions, total=False):
    """The same with weight decay, which is off unless asked for."""

    weight_decay: float | None


def check_options(
    optimizer: str,
    *,
    clipping: Sequence[float | None],
    ema_momentum: float,
    ema_overwrite_frequency: int | None,
    gradient_accumulation_steps: int | None,
    unknown: Mapping[str, Any],
) -> None:
    """ArgumentError for what an optimizer does not know, or cannot do."""
    if unknown:
        raise _unknown_argument(optimizer, next(iter(unknown)))
    _check_clipping(optimizer, clipping)
    if gradient_accumulation_steps is not None and gradient_accumulation_steps < 2:
        raise ArgumentError(
            f"gradient_accumulation_steps must be at least 2, or None, got {gradient_accumulation_steps}."
        )
    if not 0 <= ema_momentum <= 1:
        raise ArgumentError(f"ema_momentum must lie between 0 and 1, got {ema_momentum}.")
    if ema_overwrite_frequency is not None and ema_overwrite_frequency < 1:
        raise ArgumentError(
            f"ema_overwrite_frequency must be positive or None, got {ema_overwrite_frequency}."
        )


def _check_clipping(optimizer: str, limits: Sequence[float | None]) -> None:
    given = [limit for limit in limits if limit is not None]
    if len(given) > 1:
        raise ArgumentError(f"{optimizer} takes at most one of clipnorm, clipvalue and global_clipnorm.")
    if given and not given[0] >= 0:
        raise ArgumentError(f"{optimizer} cannot clip gradients at {given[0]}.", expected="a positive number")


def _unknown_argument(kind: str, name: str) -> ArgumentError:
    known = sorted([*Options.__optional_keys__, "learning_rate"])
    near = "learning_rate" if name == "lr" else nearest(name, known)
    return ArgumentError(
        f"{kind} has no argument {name!r}.",
        expected=f"its own, or one of {', '.join(known)}",
        fix=f"did you mean '{near}'?" if near else None,
    )
