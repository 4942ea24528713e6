"""The kinds of columns that a FeatureSpace knows, each with the layer that prepares it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from lamina import layers
from lamina.core.errors import ArgumentError
from lamina.core.naming import auto_name
from lamina.core.serialization import Registry, deserialize_object, serialize_object
from lamina.layers.host import STRING
from lamina.layers.registry import REGISTRY as LAYERS

REGISTRY = Registry("feature")


@LAYERS.register
class TFDIdentity(layers.Identity):
    """What Keras calls the layer of a "float" feature in files."""


@REGISTRY.register
@dataclass(frozen=True)
class Feature:
    """One column: its dtype, the layer that prepares it, and what that becomes: "float", "int", "one_hot".

    Made by the class methods of FeatureSpace.
    """

    dtype: str
    preprocessor: layers.Layer
    output_mode: str

    def __post_init__(self) -> None:
        check_mode(self.output_mode, ("int", "one_hot", "float"))

    def get_config(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype,
            "preprocessor": serialize_object(self.preprocessor),
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "preprocessor": deserialize_object(config["preprocessor"])})


@REGISTRY.register
@dataclass(frozen=True)
class Cross:
    """Columns that count together: which, and into how many buckets their combinations are hashed."""

    feature_names: tuple[str, ...]
    crossing_dim: int
    output_mode: str = "one_hot"

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_names", tuple(self.feature_names))
        check_mode(self.output_mode, ("int", "one_hot"))

    @property
    def name(self) -> str:
        return "_X_".join(self.feature_names)

    def get_config(self) -> dict[str, Any]:
        return {
            "feature_names": self.feature_names,
            "crossing_dim": self.crossing_dim,
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


class FeatureKinds:
    """The kinds of features and crosses, with their options."""

    @classmethod
    def feature(cls, dtype: str, preprocessor: layers.Layer, output_mode: str) -> Feature:
        """A column prepared by a layer of one's own; output_mode: "float", "int" or "one_hot"."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def cross(cls, feature_names: Sequence[str], crossing_dim: int, output_mode: str = "one_hot") -> Cross:
        """Columns that count together, hashed into `crossing_dim` buckets; output_mode: "one_hot", "int"."""
        return Cross(tuple(feature_names), crossing_dim, output_mode)

    @classmethod
    def float(cls, name: str | None = None) -> Feature:
        """Numbers as they are."""
        return Feature("float32", layers.Identity(dtype="float32", name=_named(name, "float")), "float")

    @classmethod
    def float_rescaled(cls, scale: Any = 1.0, offset: Any = 0.0, name: str | None = None) -> Feature:
        """Numbers, times `scale`, plus `offset`."""
        layer = layers.Rescaling(scale=scale, offset=offset, name=_named(name, "float_rescaled"))
        return Feature("float32", layer, "float")

    @classmethod
    def float_normalized(cls, name: str | None = None) -> Feature:
        """Numbers, brought to mean 0 and variance 1 by what `adapt` finds."""
        layer = layers.Normalization(axis=-1, name=_named(name, "float_normalized"))
        return Feature("float32", layer, "float")

    @classmethod
    def float_discretized(
        cls,
        num_bins: int | None = None,
        bin_boundaries: Sequence[Any] | None = None,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Numbers, by the bin they fall into: `num_bins` of them found by `adapt`, or between boundaries."""
        layer = layers.Discretization(
            bin_boundaries, None if bin_boundaries else num_bins, name=_named(name, "float_discretized")
        )
        return Feature("float32", layer, output_mode)

    @classmethod
    def integer_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Whole numbers that are names, by a vocabulary that `adapt` finds; as for IntegerLookup."""
        layer = layers.IntegerLookup(max_tokens, num_oov_indices, name=_named(name, "integer_categorical"))
        return Feature("int32", layer, output_mode)

    @classmethod
    def string_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Strings, by a vocabulary that `adapt` finds; the arguments are those of StringLookup."""
        layer = layers.StringLookup(max_tokens, num_oov_indices, name=_named(name, "string_categorical"))
        return Feature(STRING, layer, output_mode)

    @classmethod
    def integer_hashed(cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None) -> Feature:
        """Whole numbers, hashed into `num_bins` buckets."""
        layer = layers.Hashing(num_bins, name=_named(name, "integer_hashed"))
        return Feature("int32", layer, output_mode)

    @classmethod
    def string_hashed(cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None) -> Feature:
        """Strings, hashed into `num_bins` buckets."""
        layer = layers.Hashing(num_bins, name=_named(name, "string_hashed"))
        return Feature(STRING, layer, output_mode)


def check_mode(mode: Any, allowed: Sequence[str]) -> None:
    if mode not in allowed:
        raise ArgumentError(f"There is no output_mode={mode!r} here.", expected=" or ".join(allowed))


def _named(name: str | None, kind: str) -> str:
    return f"{name or auto_name(kind)}_preprocessor"


def is_given(layer: Any) -> bool:
    """Whether a layer that could adapt was given what it would find."""
    if isinstance(layer, layers.Normalization):
        return layer.input_mean is not None
    if isinstance(layer, layers.Discretization):
        return layer.num_bins is None
    if isinstance(layer, layers.TextVectorization):
        return layer.has_input_vocabulary
    return isinstance(layer, (layers.StringLookup, layers.IntegerLookup)) and layer.has_input_vocabulary


def cardinality(name: str, layer: Any) -> int:
    if isinstance(layer, (layers.StringLookup, layers.IntegerLookup)):
        return layer.vocabulary_size()
    if isinstance(layer, layers.CategoryEncoding):
        return layer.num_tokens
    if isinstance(layer, (layers.HashedCrossing, layers.Hashing)):
        return layer.num_bins
    if isinstance(layer, layers.Discretization):
        return layer.num_bins or len(layer.bin_boundaries or ()) + 1
    raise ArgumentError(
        f"The feature {name!r} has output_mode='one_hot', but how many numbers a {type(layer).__name__} "
        "gives is not known.",
        fix="output_mode='int'.",
    )
