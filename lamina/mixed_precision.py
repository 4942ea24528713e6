"""Names of `keras.mixed_precision`, which older Keras code calls."""

from __future__ import annotations

from lamina.dtype_policies import DTypePolicy, dtype_policy, set_dtype_policy
from lamina.dtype_policies import DTypePolicy as Policy
from lamina.dtype_policies import dtype_policy as global_policy
from lamina.dtype_policies import set_dtype_policy as set_global_policy
from lamina.optimizers import LossScaleOptimizer

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]
