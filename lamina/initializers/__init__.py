"""The first values of weights: `initializers.get("glorot_uniform")(shape)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core.errors import ShapeError
from lamina.initializers.base import REGISTRY, Initializer, numpy_dtype
from lamina.initializers.constant import Constant, Identity, Ones, Zeros
from lamina.initializers.fourier import STFT
from lamina.initializers.random import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    compute_fans,
)

serialize = REGISTRY.serialize
deserialize = REGISTRY.deserialize


def get(identifier: Any) -> Any:
    """The initializer meant by a name, config, class, callable, or array (of the shape that will be asked).

    Raises ArgumentError for an unknown name, with the nearest one that exists.
    """
    if not isinstance(identifier, (np.ndarray, np.generic)):
        return REGISTRY.get(identifier)
    given = np.asarray(identifier)

    def given_array(shape: Any, dtype: Any = None) -> np.ndarray[Any, Any]:
        if tuple(shape) != given.shape:
            raise ShapeError(
                "The array given as initializer does not fit the weight.",
                expected=str(tuple(shape)),
                got=str(given.shape),
            )
        return given.astype(numpy_dtype(dtype))

    return given_array


constant, zeros, ones, identity = Constant, Zeros, Ones, Identity
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling, orthogonal = VarianceScaling, Orthogonal
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal = HeUniform, HeNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal
STFTInitializer = stft = STFT

__all__ = [
    "STFT",
    "STFTInitializer",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]
