"""Attention with several heads, of which groups share their keys and values."""

from __future__ import annotations

import math
from typing import Any

from lamina.core.errors import ArgumentError, ShapeError
from lamina.layers.arguments import positive_integer
from lamina.layers.input_spec import describe_layer
from lamina.layers.projected_attention import ProjectedAttention
from lamina.layers.registry import REGISTRY


class GroupQueryAttention(ProjectedAttention):
    """Multi-head attention in which groups of query heads share a head of keys and values.

    Called as MultiHeadAttention, on query (batch, T, d), value and key (batch, S, d). num_query_heads must be
    a multiple of num_key_value_heads; head_dim is the size of each head.
    Source: J. Ainslie et al., "GQA: Training Generalized Multi-Query Transformer Models" (2023).

    >>> layer = GroupQueryAttention(head_dim=8, num_query_heads=4, num_key_value_heads=2)
    >>> layer(np.zeros((2, 10, 16)), np.zeros((2, 12, 16))).shape
    (2, 10, 16)
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            dropout,
            use_bias,
            sliding_window,
            flash_attention,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            use_gate,
            seed,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.head_dim = positive_integer(head_dim, "head_dim", self)
        self._scale = 1.0 / math.sqrt(self.head_dim)
        self.num_query_heads = positive_integer(num_query_heads, "num_query_heads", self)
        self.num_key_value_heads = positive_integer(num_key_value_heads, "num_key_value_heads", self)
        if self.num_query_heads % self.num_key_value_heads:
            raise ArgumentError(
                f"{describe_layer(self)}: num_query_heads must be a multiple of num_key_value_heads.",
                got=f"num_query_heads={num_query_heads}, num_key_value_heads={num_key_value_heads}",
            )

    @property
    def dropout(self) -> float:
        return self._dropout

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        heads, groups, size = self.num_query_heads, self.num_key_value_heads, self.head_dim
        to_heads, to_groups = (None, heads, size), (None, groups, size)
        self._query_dense = self._projection("bqm,muh->bquh", to_heads, "uh", name="query")
        self._key_dense = self._projection("bkm,mvh->bkvh", to_groups, "vh", name="key")
        if self._use_gate:
            self._gate_dense = self._projection(
                "bqm,muh->bquh", to_heads, "uh", name="gate", activation="sigmoid"
            )
            self._gate_dense.build(query_shape)
        self._value_dense = self._projection("bkm,mvh->bkvh", to_groups, "vh", name="value")
        self._output_dense = self._projection(
            "bquh,uhm->bqm", (None, query_shape[-1]), "m", name="attention_output"
        )
        self._query_dense.build(query_shape)
        self._key_dense.build(key_shape)
        self._value_dense.build(value_shape)
        self._output_dense.build((None, None, heads, size))

    def _mix(
        self,
        query: Any,
        key: Any,
        value: Any,
        allowed: Any,
        causal: bool,
        training: Any,
        return_attention_scores: bool,
    ) -> tuple[Any, Any]:
        equations = ("bkuh,bquh->buqk", "buqk,bkuh->bquh")
        return self._attend(query, key, value, allowed, causal, equations, training, return_attention_scores)

    def compute_output_shape(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> Any:
        if query_shape[-1] != value_shape[-1]:
            raise ShapeError(
                f"{describe_layer(self)}: query and value differ in their last axis.",
                got=f"query {tuple(query_shape)}, value {tuple(value_shape)}",
            )
        return super().compute_output_shape(query_shape, value_shape, key_shape)

    def _scores_shape(self, query_shape: Any, value_shape: Any) -> tuple[int | None, ...]:
        return (query_shape[0], self.num_query_heads, query_shape[1], value_shape[1])

    def get_config(self) -> dict[str, Any]:
        return {
            **self._shared_config(),
            "head_dim": self.head_dim,
            "num_query_heads": self.num_query_heads,
            "num_key_value_heads": self.num_key_value_heads,
        }


REGISTRY.register(GroupQueryAttention, "GroupedQueryAttention")  # its name in configs of Keras
