"""Losses: what training makes small. Names, arguments and values are those of `keras.losses`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamina.core.serialization import Registry
from lamina.losses.alignment import CTC, ctc
from lamina.losses.base import Loss, LossFunctionWrapper, object_name
from lamina.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from lamina.losses.focal import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    binary_focal_crossentropy,
    categorical_focal_crossentropy,
)
from lamina.losses.hinge import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
    categorical_hinge,
    hinge,
    squared_hinge,
)
from lamina.losses.probabilistic import (
    CategoricalGeneralizedCrossEntropy,
    KLDivergence,
    Poisson,
    categorical_generalized_cross_entropy,
    kl_divergence,
    poisson,
)
from lamina.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from lamina.losses.segmentation import Dice, Tversky, dice, tversky
from lamina.losses.similarity import Circle, circle

# Function -> its class, and the short names Keras knows for the function.
_FAMILIES: dict[Callable[..., Any], tuple[Callable[..., Loss], tuple[str, ...]]] = {
    # regression
    mean_squared_error: (MeanSquaredError, ("mse", "MSE")),
    mean_absolute_error: (MeanAbsoluteError, ("mae", "MAE")),
    mean_absolute_percentage_error: (MeanAbsolutePercentageError, ("mape", "MAPE")),
    mean_squared_logarithmic_error: (MeanSquaredLogarithmicError, ("msle", "MSLE")),
    cosine_similarity: (CosineSimilarity, ()),
    huber: (Huber, ()),
    log_cosh: (LogCosh, ("logcosh",)),
    # crossentropy
    binary_crossentropy: (BinaryCrossentropy, ("bce", "BCE")),
    categorical_crossentropy: (CategoricalCrossentropy, ()),
    sparse_categorical_crossentropy: (SparseCategoricalCrossentropy, ()),
    binary_focal_crossentropy: (BinaryFocalCrossentropy, ()),
    categorical_focal_crossentropy: (CategoricalFocalCrossentropy, ()),
    # other distributions
    kl_divergence: (KLDivergence, ("kld", "KLD", "kullback_leibler_divergence")),
    poisson: (Poisson, ()),
    categorical_generalized_cross_entropy: (CategoricalGeneralizedCrossEntropy, ()),
    # hinge
    hinge: (Hinge, ()),
    squared_hinge: (SquaredHinge, ()),
    categorical_hinge: (CategoricalHinge, ()),
    # sequences
    ctc: (CTC, ()),
    # overlap and similarity
    dice: (Dice, ()),
    tversky: (Tversky, ()),
    circle: (Circle, ()),
}

REGISTRY = Registry("loss")
REGISTRY.register(LossFunctionWrapper)
for _function, (_class, _aliases) in _FAMILIES.items():
    REGISTRY.register(_function, *_aliases)
    REGISTRY.register(_class)

get = REGISTRY.get
serialize = REGISTRY.serialize
deserialize = REGISTRY.deserialize


def resolve_loss(
    identifier: Any, target_shape: Sequence[int | None], output_shape: Sequence[int | None]
) -> Any:
    """The Loss object meant by what `compile(loss=...)` was given for one output; None stays None.

    identifier: a name, function, class, config or Loss. "crossentropy" (or "ce") becomes the binary, sparse
    or categorical one that fits the shapes of targets and outputs. Raises ArgumentError for unknown names.

    >>> resolve_loss("crossentropy", (32,), (32, 10))
    <SparseCategoricalCrossentropy name=crossentropy>
    """
    name = identifier if isinstance(identifier, str) else None
    if name is not None and name.lower() in ("crossentropy", "ce"):
        found: Any = {
            "binary": binary_crossentropy,
            "sparse": sparse_categorical_crossentropy,
            "categorical": categorical_crossentropy,
        }[kind_of_targets(target_shape, output_shape)]
    else:
        found = get(identifier)
    if found is None or isinstance(found, Loss):
        return found
    name = name or object_name(found)
    if found in _FAMILIES:
        return _FAMILIES[found][0](name=name)
    return LossFunctionWrapper(found, name=name)


def kind_of_targets(target_shape: Sequence[int | None], output_shape: Sequence[int | None]) -> str:
    """ "binary" (one output unit), "sparse" (class numbers) or "categorical" (one-hot), judged by shapes."""
    if len(output_shape) <= 1 or output_shape[-1] == 1:
        return "binary"
    return "sparse" if len(target_shape) < len(output_shape) or target_shape[-1] == 1 else "categorical"


__all__ = [
    "CTC",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "LossFunctionWrapper",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "ctc",
    "deserialize",
    "dice",
    "get",
    "hinge",
    "huber",
    "kind_of_targets",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "resolve_loss",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]
