"""Embedding: a table with one learnt vector per id, and its form that also reads backwards."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np

from lamina import constraints, initializers, ops, regularizers
from lamina.core import dtypes
from lamina.core.errors import ArgumentError
from lamina.ids import expect_ids
from lamina.ir import primitives as p
from lamina.ir.symbolic import KerasTensor
from lamina.layers.arguments import number, positive_integer
from lamina.layers.dense import without_quantization
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer
from lamina.layers.masks import with_mask
from lamina.layers.registry import REGISTRY


@REGISTRY.register
class Embedding(Layer):
    """Row `id` of a learnt table for every id: (batch, ...) of whole numbers -> (batch, ..., output_dim).

    Weights: embeddings (input_dim, output_dim). input_dim: the number of ids, which count from 0. mask_zero:
    id 0 is padding, and masked for the layers that follow. weights: the first values of the table.

    DataError, naming the row and the id, for an id outside the table: at once for arrays, and before the
    first update in `fit`, `evaluate` and `predict`. Ids that the network itself computes on its way cannot be
    seen before; a wrong one among them gives NaN, so that a training step with it is refused.

    >>> Embedding(1000, 8)(np.array([[3, 7, 0]])).shape
    (1, 3, 8)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("input_length", None) is not None:
            warnings.warn("Embedding: input_length is not needed; leave it out.", stacklevel=2)
        super().__init__(**without_quantization(kwargs))
        self.input_dim = positive_integer(input_dim, "input_dim", self)
        self.output_dim = positive_integer(output_dim, "output_dim", self)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.autocast = False
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) and len(weights) == 1 else [weights])

    @property
    def input_dtype(self) -> str:
        return "int32"

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )

    def call(self, inputs: Any) -> Any:
        ids = ops.convert_to_tensor(inputs)
        if not dtypes.is_integer(dtypes.standardize(ids.dtype)):
            ids = ops.cast(ids, "int32")
        known = expect_ids(ids, self.input_dim, describe_layer(self))
        vectors = p.gather(ops.convert_to_tensor(self.embeddings), ids, axis=0)
        if not known:
            inside = ops.logical_and(ids >= 0, ids < self.input_dim)
            vectors = ops.where(ops.expand_dims(inside, -1), vectors, np.nan)
        return ops.cast(vectors, self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return super().from_config(without_quantization(config))


@REGISTRY.register
class ReversibleEmbedding(Embedding):
    """An Embedding that, called with `reverse=True`, turns vectors into one score per id.

    (..., output_dim) -> (..., input_dim) in reverse, by the transpose of the table, or with tie_weights=False
    by a table of its own (weight reverse_embeddings). reverse_dtype: of that product. logit_soft_cap: c, for
    scores `c * tanh(scores / c)`.

    >>> layer = ReversibleEmbedding(1000, 8)
    >>> layer(layer(np.array([[3, 7]])), reverse=True).shape
    (1, 2, 1000)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **kwargs,
        )
        self.tie_weights = tie_weights
        self.reverse_dtype = reverse_dtype
        if logit_soft_cap is not None and number(logit_soft_cap, "logit_soft_cap", self, low=0) == 0:
            raise ArgumentError(f"{describe_layer(self)}: logit_soft_cap must be above 0.")
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                name="reverse_embeddings",
                shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
            )

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        if not reverse:
            return with_mask(super().call(inputs), super().compute_mask(inputs))
        kernel = ops.transpose(self.embeddings) if self.tie_weights else self.reverse_embeddings
        if self.reverse_dtype is not None:
            inputs, kernel = ops.cast(inputs, self.reverse_dtype), ops.cast(kernel, self.reverse_dtype)
        scores = ops.matmul(inputs, kernel)
        if self.logit_soft_cap is None:
            return scores
        return ops.multiply(ops.tanh(ops.divide(scores, self.logit_soft_cap)), self.logit_soft_cap)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: `call` sets it, for it depends on the direction."""
        return None

    def compute_output_shape(self, input_shape: Any, reverse: bool = False) -> Any:
        return (*input_shape[:-1], self.input_dim) if reverse else (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs: Any, reverse: bool = False) -> Any:
        dtype = self.reverse_dtype if reverse and self.reverse_dtype is not None else self.compute_dtype
        output = KerasTensor(self.compute_output_shape(inputs.shape, reverse), dtype)
        return output if reverse else with_mask(output, super().compute_mask(inputs))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "tie_weights": self.tie_weights,
            "reverse_dtype": self.reverse_dtype,
            "logit_soft_cap": self.logit_soft_cap,
        }
