"""Masks ride on tensors: True where an entry is real, False where it is padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.interp.array import Array
from lamina.ir.symbolic import KerasTensor
from lamina.ir.trace import Tensor


def get_mask(tensor: Any) -> Any:
    """The mask that `tensor` carries, or None."""
    return getattr(tensor, "_keras_mask", None)


def with_mask(tensor: Any, mask: Any) -> Any:
    """The same tensor, carrying `mask` (None: carrying none).

    An eager or traced tensor is wrapped anew, so whoever else holds the old object sees no mask on it.
    """
    if mask is None and get_mask(tensor) is None:
        return tensor
    carrier: Any = tensor
    if isinstance(tensor, Tensor):
        carrier = Tensor(tensor.value)
    elif isinstance(tensor, np.ndarray):
        carrier = tensor.view(Array)
    elif not isinstance(tensor, KerasTensor):
        return tensor
    carrier._keras_mask = mask
    return carrier
