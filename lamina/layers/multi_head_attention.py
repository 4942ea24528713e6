"""Attention with several heads: projections to queries, keys and values, attention per head, and back."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

from lamina.layers.activation import Softmax
from lamina.layers.arguments import integers, positive_integer
from lamina.layers.einsum_dense import EinsumDense
from lamina.layers.projected_attention import ProjectedAttention
from lamina.layers.registry import REGISTRY


@REGISTRY.register
class MultiHeadAttention(ProjectedAttention):
    """`num_heads` times attention, each on its own projections of query, key and value.

    Called as layer(query, value, key=value): query (batch, T, ..., d), value and key (batch, S, ..., e);
    gives (batch, T, ..., d), or `output_shape` in the place of d; with return_attention_scores=True also the
    weights (batch, heads, T, S), before dropout.

    key_dim, value_dim: size of a head for query and key, and for values. attention_axes: axes to attend over,
    all but batch and features by default. sliding_window: look only at places less than so far away.
    use_gate: multiply what the heads give by a sigmoid of the query. flash_attention: whether to stream over
    the keys, so that the matrix of scores never exists; None for where it pays. dropout: rate at which
    weights are dropped while training.
    Masks that query, value and key carry are heeded; attention_mask (batch, T, S) and use_causal_mask come on
    top. Weights: query/, key/, value/, attention_output/ with kernel and bias; gate/ before value/.
    Source: A. Vaswani et al., "Attention Is All You Need" (2017).

    >>> layer = MultiHeadAttention(num_heads=2, key_dim=8)
    >>> layer(np.zeros((4, 10, 16)), np.zeros((4, 12, 16))).shape
    (4, 10, 16)
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
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
            **kwargs,
        )
        self._num_heads = positive_integer(num_heads, "num_heads", self)
        self._key_dim = positive_integer(key_dim, "key_dim", self)
        self._scale = 1.0 / math.sqrt(self._key_dim)
        self._value_dim = (
            positive_integer(value_dim, "value_dim", self) if value_dim is not None else self._key_dim
        )
        self._output_shape = integers(output_shape, "output_shape", self) if output_shape else None
        self._attention_axes = (
            integers(attention_axes, "attention_axes", self) if attention_axes is not None else None
        )

    @property
    def num_heads(self) -> int:
        return self._num_heads

    @property
    def key_dim(self) -> int:
        return self._key_dim

    @property
    def value_dim(self) -> int:
        return self._value_dim

    @property
    def dropout(self) -> float:
        return self._dropout

    @property
    def use_bias(self) -> bool:
        return self._use_bias

    @property
    def attention_axes(self) -> tuple[int, ...] | None:
        return self._attention_axes

    @property
    def query_dense(self) -> EinsumDense:
        return self._query_dense

    @property
    def key_dense(self) -> EinsumDense:
        return self._key_dense

    @property
    def value_dense(self) -> EinsumDense:
        return self._value_dense

    @property
    def output_dense(self) -> EinsumDense:
        return self._output_dense

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        self.compute_output_shape(query_shape, value_shape, key_shape)
        rank = len(value_shape) + 1
        axes = self._attention_axes
        self._attention_axes = (
            tuple(range(1, rank - 2))
            if axes is None
            else tuple(axis + rank - 1 if axis < 0 else axis for axis in axes)
        )
        self._equations = attention_equations(rank, self._attention_axes)
        self._attended = len(self._attention_axes)
        self._softmax = Softmax(axis=tuple(range(-self._attended, 0)), dtype=self.dtype_policy)
        self._query_dense = self._to_heads("query", query_shape, self._key_dim)
        self._key_dense = self._to_heads("key", key_shape, self._key_dim)
        if self._use_gate:
            self._gate_dense = self._to_heads("gate", query_shape, self._value_dim, activation="sigmoid")
        self._value_dense = self._to_heads("value", value_shape, self._value_dim)
        outer = tuple(query_shape[:-1])
        output = self._output_shape or (query_shape[-1],)
        letters = string.ascii_lowercase
        kept, heads = letters[: len(outer)], letters[len(outer) : len(outer) + 2]
        new = letters[len(outer) + 2 : len(outer) + 2 + len(output)]
        self._output_dense = self._projection(
            f"{kept}{heads},{heads}{new}->{kept}{new}",
            [None] * (len(outer) - 1) + list(output),
            new,
            name="attention_output",
        )
        self._output_dense.build((*outer, self._num_heads, self._value_dim))

    def _to_heads(self, name: str, shape: Any, size: int, **keywords: Any) -> EinsumDense:
        """(batch, ..., features) -> (batch, ..., heads, size)."""
        letters = string.ascii_lowercase
        kept, feature, new = (
            letters[: len(shape) - 1],
            letters[len(shape) - 1],
            letters[len(shape) : len(shape) + 2],
        )
        dense = self._projection(
            f"{kept}{feature},{feature}{new}->{kept}{new}",
            [None] * (len(shape) - 2) + [self._num_heads, size],
            new,
            name=name,
            **keywords,
        )
        dense.build(shape)
        return dense

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
        return self._attend(
            query, key, value, allowed, causal, self._equations, training, return_attention_scores
        )

    def compute_output_shape(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> Any:
        shape = super().compute_output_shape(query_shape, value_shape, key_shape)
        return (*shape[:-1], *self._output_shape) if self._output_shape else shape

    def _scores_shape(self, query_shape: Any, value_shape: Any) -> tuple[int | None, ...]:
        axes = self._attention_axes
        assert axes is not None
        outer = [query_shape[axis] for axis in range(len(query_shape) - 1) if axis not in axes]
        places = (*(query_shape[axis] for axis in axes), *(value_shape[axis] for axis in axes))
        return (*outer, self._num_heads, *places)

    def get_config(self) -> dict[str, Any]:
        return {
            **self._shared_config(),
            "num_heads": self._num_heads,
            "key_dim": self._key_dim,
            "value_dim": self._value_dim,
            "output_shape": self._output_shape,
            "attention_axes": self._attention_axes,
        }


def attention_equations(rank: int, axes: Sequence[int]) -> tuple[str, str]:
    """The einsums of attention over some axes of tensors (batch, ..., heads, size) of this rank.

    The first makes scores (other axes, heads, places of the query, places of the key) from key and query, the
    second outputs from weights and values.
    """
    letters = string.ascii_lowercase
    target = letters[:rank]
    fresh = iter(letters[rank:])
    source = "".join(next(fresh) if axis in axes else target[axis] for axis in range(rank))
    outer = "".join(target[axis] for axis in range(rank - 1) if axis not in axes)
    scores = outer + "".join(target[axis] for axis in axes) + "".join(source[axis] for axis in axes)
    return f"{source},{target}->{scores}", f"{scores},{source}->{target}"
