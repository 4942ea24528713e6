"""FeatureSpace: tables whose columns are of different kinds, as numbers for a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from lamina import layers, ops
from lamina.core.errors import ArgumentError, DataError, StateError
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.ir.symbolic import KerasTensor
from lamina.ir.trace import Tensor
from lamina.layers.host import STRING
from lamina.layers.registry import REGISTRY
from lamina.models.features import Cross, Feature, FeatureKinds, cardinality, check_mode, is_given

Array = np.ndarray[Any, Any]

_WHOLE = ("int", "uint")


@REGISTRY.register
class FeatureSpace(FeatureKinds, layers.Layer):
    """Tables with columns of different kinds as numbers: each column, and each cross of columns, encoded.

    features: by the name of a column what it is: "float", "float_rescaled", "float_normalized",
    "float_discretized", "integer_categorical", "string_categorical", "integer_hashed", "string_hashed", or
    what the class methods of these names give, with options. output_mode: "concat" for one row (batch,
    width) of floats, features first, then crosses, each sorted by name; "dict" for one entry for each.
    crosses: pairs (or more) of column names that count together, or `FeatureSpace.cross(...)`; they are
    hashed into `crossing_dim` buckets. hashing_dim, num_discretization_bins: of features given as strings.

    `adapt` looks at the training data: a dict of columns, a pandas DataFrame, or an iterable of batches of
    those, or of tuples that begin with them. Then call it on such a table, or on a dict of single values; or
    begin a model with `get_inputs()` and `get_encoded_features()`, which is trained on the raw columns.
    Columns that are no features are left alone.

    Raises ArgumentError for unknown kinds and names; DataError for columns that are missing or have gaps.

    >>> space = FeatureSpace({"age": "float_normalized", "city": "string_categorical"})
    >>> space.adapt({"age": [20.0, 40.0], "city": ["Bonn", "Rome"]})
    >>> space({"age": [30.0], "city": ["Bonn"]})
    Array([[0., 0., 0., 1.]], dtype=float32)
    """

    def __init__(
        self,
        features: Mapping[str, Any],
        output_mode: str = "concat",
        crosses: Iterable[Any] | None = None,
        crossing_dim: int = 32,
        hashing_dim: int = 32,
        num_discretization_bins: int = 32,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if not features:
            raise ArgumentError("A FeatureSpace needs features.", expected="{column name: kind, ...}")
        check_mode(output_mode, ("concat", "dict"))
        self.output_mode = output_mode
        self.crossing_dim = crossing_dim
        self.hashing_dim = hashing_dim
        self.num_discretization_bins = num_discretization_bins
        self.features = {column: self._feature(column, kind) for column, kind in features.items()}
        self.crosses = [self._cross(entry) for entry in crosses or ()]
        self.crosses_by_name = {cross.name: cross for cross in self.crosses}
        self.preprocessors = {column: feature.preprocessor for column, feature in self.features.items()}
        self.crossers = {
            cross.name: layers.HashedCrossing(cross.crossing_dim, name=cross.name) for cross in self.crosses
        }
        self.one_hot_encoders: dict[str, layers.Layer] = {}
        self.concat: layers.Layer | None = None
        self.inputs = {
            column: layers.Input((1,), dtype=feature.dtype, name=column)
            for column, feature in self.features.items()
        }
        self.encoded_features: Any = None
        self._is_adapted = not self._adaptable()

    def _feature(self, column: str, kind: Any) -> Feature:
        if isinstance(kind, Mapping):
            kind = deserialize_object(kind)
        if isinstance(kind, Feature):
            return kind
        plain: dict[str, Any] = {
            "float": self.float,
            "float_rescaled": self.float_rescaled,
            "float_normalized": self.float_normalized,
            "integer_categorical": self.integer_categorical,
            "string_categorical": self.string_categorical,
        }
        sized: dict[str, Any] = {
            "float_discretized": (self.float_discretized, self.num_discretization_bins),
            "integer_hashed": (self.integer_hashed, self.hashing_dim),
            "string_hashed": (self.string_hashed, self.hashing_dim),
        }
        if kind in plain:
            return plain[kind](name=column)
        if kind in sized:
            make, size = sized[kind]
            return make(size, name=column)
        raise ArgumentError(
            f"The feature {column!r} is of no known kind.",
            expected=", ".join(map(repr, (*plain, *sized))),
            got=repr(kind),
        )

    def _cross(self, given: Any) -> Cross:
        if isinstance(given, Mapping):
            given = deserialize_object(given)
        cross = given if isinstance(given, Cross) else Cross(tuple(given), self.crossing_dim)
        unknown = [column for column in cross.feature_names if column not in self.features]
        if unknown:
            raise ArgumentError(
                f"The cross {cross.name!r} names {unknown[0]!r}, which is no feature.",
                expected=", ".join(map(repr, self.features)),
            )
        return cross

    # --- adapting ----------------------------------------------------------------------------------

    def adapt(self, dataset: Any) -> None:
        """Let the features look at the training data: a table, or an iterable of batches of it."""
        wanted = self._adaptable()
        parts: dict[str, list[Array]] = {column: [] for column in wanted}
        for table in _tables(dataset):
            for column in wanted:
                parts[column].append(self._column(table, column))
        if not all(parts.values()):
            raise DataError("adapt() got no data.")
        for column, found in parts.items():
            self.preprocessors[column].adapt(np.concatenate(found))
        self.encoded_features = None
        self._is_adapted = True
        self.get_encoded_features()
        self.built = True

    def _adaptable(self) -> list[str]:
        """The columns whose layers learn something from the data, and were not given it."""
        return [
            column
            for column, feature in self.features.items()
            if hasattr(feature.preprocessor, "adapt") and not is_given(feature.preprocessor)
        ]

    # --- encoding ----------------------------------------------------------------------------------

    def get_inputs(self) -> dict[str, KerasTensor]:
        """An Input (batch, 1) for each feature, with which a functional model begins."""
        self.get_encoded_features()
        return self.inputs

    def get_encoded_features(self) -> Any:
        """What `get_inputs()` become: a tensor, or a dict of them."""
        if not self._is_adapted:
            raise StateError("This FeatureSpace has not seen data yet.", fix="call adapt(data) on it.")
        if self.encoded_features is None:
            self.one_hot_encoders = {}
            self.encoded_features = self._encoded(self.inputs)
        return self.encoded_features

    def __call__(self, data: Any) -> Any:
        """Encode a table: a dict of columns (batch,) or (batch, 1), a DataFrame; or a dict of values."""
        self.get_encoded_features()
        if _is_symbolic(data):
            return self._encoded(data)
        tables = list(_tables(data)) if _is_table(data) else []
        if not tables:
            raise ArgumentError(
                "A FeatureSpace is called on a table.",
                expected="a dict of columns, or a DataFrame",
                got=type(data).__name__,
            )
        single = all(np.ndim(tables[0].get(column, ())) == 0 for column in self.features)
        encoded = self._encoded({column: self._column(tables[0], column) for column in self.features})
        if not single:
            return encoded
        return {name: row[0] for name, row in encoded.items()} if isinstance(encoded, dict) else encoded[0]

    def _column(self, table: Mapping[str, Any], column: str) -> Array:
        """A column as (batch, 1)."""
        if column not in table:
            raise DataError(
                f"The table has no column {column!r}.", got=f"the columns {', '.join(map(str, table))}"
            )
        values = np.asarray(table[column])
        values = values.reshape(-1, 1) if values.ndim < 2 else values
        if self.features[column].dtype == STRING and values.dtype == object:
            gaps = [row for row, value in enumerate(values[:, 0].tolist()) if value is None or value != value]
            if gaps:
                raise DataError(
                    f"The column {column!r} has no value in row {gaps[0]}.",
                    got=f"{len(gaps)} gaps in {len(values)} rows",
                    fix="fill them first: frame.fillna('unknown').",
                )
        return values

    def _encoded(self, columns: Mapping[str, Any]) -> Any:
        prepared = {name: layer(columns[name]) for name, layer in self.preprocessors.items()}
        crossed = {
            name: crosser([prepared[column] for column in self.crosses_by_name[name].feature_names])
            for name, crosser in self.crossers.items()
        }
        modes: dict[str, Feature | Cross] = {**self.features, **self.crosses_by_name}
        encoded = {}
        for name in (*sorted(prepared), *sorted(crossed)):
            value = prepared[name] if name in prepared else crossed[name]
            encoded[name] = self._one_hot(name, value) if modes[name].output_mode == "one_hot" else value
        return encoded if self.output_mode == "dict" else self._concatenated(encoded)

    def _one_hot(self, name: str, value: Any) -> Any:
        if name not in self.one_hot_encoders:
            layer = self.crossers[name] if name in self.crossers else self.preprocessors[name]
            if not str(value.dtype).startswith(_WHOLE):
                raise ArgumentError(
                    f"The feature {name!r} has output_mode='one_hot', so its layer must give whole numbers.",
                    got=f"{value.dtype} from a {type(layer).__name__}",
                    fix="output_mode='float'.",
                )
            self.one_hot_encoders[name] = layers.CategoryEncoding(cardinality(name, layer))
        return self.one_hot_encoders[name](value)

    def _concatenated(self, encoded: dict[str, Any]) -> Any:
        for name, value in encoded.items():
            if str(value.dtype).startswith((*_WHOLE, STRING)):
                raise ArgumentError(
                    f"The feature {name!r} is {value.dtype}, which cannot stand in one row with floats.",
                    fix="output_mode='dict' for the FeatureSpace, or 'one_hot' for the feature.",
                )
        values = list(encoded.values())
        if len(values) == 1:
            return values[0]
        if self.concat is None:
            self.concat = layers.Concatenate(axis=-1)
        return self.concat(values) if _is_symbolic(encoded) else ops.concatenate(values, axis=-1)

    # --- files and configs -------------------------------------------------------------------------

    def save(self, filepath: Any) -> None:
        """Write it, with what it has learnt from the data, to a .keras file; `load_model` reads it."""
        from lamina.saving.model_files import save_model

        save_model(self, filepath)

    def get_config(self) -> dict[str, Any]:
        return {
            "features": {column: serialize_object(feature) for column, feature in self.features.items()},
            "output_mode": self.output_mode,
            "crosses": [serialize_object(cross) for cross in self.crosses],
            "crossing_dim": self.crossing_dim,
            "hashing_dim": self.hashing_dim,
            "num_discretization_bins": self.num_discretization_bins,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)

    def get_build_config(self) -> dict[str, Any] | None:
        if not self._is_adapted:
            return None
        return {column: layer.get_build_config() for column, layer in self.preprocessors.items()}

    def build_from_config(self, config: dict[str, Any]) -> None:
        for column, build_config in config.items():
            if build_config and not self.preprocessors[column].built:
                self.preprocessors[column].build_from_config(build_config)
        self._is_adapted = True

    def save_own_variables(self, store: Any) -> None:
        """Nothing: what it has learnt belongs to its layers."""

    def load_own_variables(self, store: Any) -> None:
        """Nothing: what it has learnt belongs to its layers."""


def _is_symbolic(data: Any) -> bool:
    return isinstance(data, Mapping) and any(
        isinstance(value, (KerasTensor, Tensor)) for value in data.values()
    )


def _is_table(data: Any) -> bool:
    return isinstance(data, Mapping) or (hasattr(data, "columns") and hasattr(data, "to_dict"))


def _tables(data: Any) -> Iterator[Mapping[str, Any]]:
    """The table itself, or those of an iterable of batches, as mappings from names to columns."""
    if _is_table(data):
        yield data if isinstance(data, Mapping) else {column: data[column].to_numpy() for column in data}
        return
    for batch in data:
        table = batch[0] if isinstance(batch, tuple) else batch
        if not _is_table(table):
            raise ArgumentError(
                "adapt() takes a table, or batches of tables.",
                expected="a dict of columns, a DataFrame, or an iterable of these",
                got=f"an iterable of {type(table).__name__}",
            )
        yield from _tables(table)
