"""Attention with several heads: projections to queries, keys and values, attention per head, and back."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

from lamina import constraints, initializers, ops, regularizers
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir.symbolic import KerasTensor
from lamina.layers.activation import Softmax
from lamina.layers.arguments import integers, number, positive_integer
from lamina.layers.attention import causal_mask, check_mask_shape
from lamina.layers.dense import weight_config
from lamina.layers.einsum_dense import EinsumDense
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer
from lamina.layers.masks import with_mask
from lamina.layers.registry import REGISTRY
from lamina.layers.regularization import Dropout


class ProjectedAttention(Layer):
    """What attention with heads shares: settings of the projections, masks, and attention itself.

    Subclasses make the projections, named query, key, value, gate and attention_output.
    """

    _attended = 1  # the number of axes that attention runs over
    _query_dense: EinsumDense
    _key_dense: EinsumDense
    _value_dense: EinsumDense
    _gate_dense: EinsumDense
    _output_dense: EinsumDense

    def __init__(
        self,
        head_size: int,
        dropout: float,
        use_bias: bool,
        sliding_window: int | None,
        flash_attention: bool | None,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        part_regularizer: Any,
        kernel_constraint: Any,
        bias_constraint: Any,
        use_gate: bool,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self._scale = 1.0 / math.sqrt(head_size)
        self._dropout = number(dropout, "dropout", self, low=0, high=1)
        self._use_bias = use_bias
        self._use_gate = use_gate
        self._sliding_window = (
            None if sliding_window is None else positive_integer(sliding_window, "sliding_window", self)
        )
        self._flash_attention = flash_attention
        if self._flash_attention and self._dropout > 0:
            raise ArgumentError(
                f"{describe_layer(self)}: flash attention knows no dropout.",
                fix="dropout=0.0, or leave out flash_attention: the compiler decides by itself.",
            )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self._part_regularizer = regularizers.get(part_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.seed = seed
        self._softmax = Softmax(axis=-1, dtype=self.dtype_policy)
        self._dropout_layer = Dropout(self._dropout, dtype=self.dtype_policy, seed=seed)

    def _projection(
        self, equation: str, output_shape: Sequence[int | None], bias_axes: str, **keywords: Any
    ) -> EinsumDense:
        """An EinsumDense with this layer's initializers, regularizers and constraints."""
        return EinsumDense(
            equation,
            output_shape=output_shape,
            bias_axes=bias_axes if self._use_bias else None,
            kernel_initializer=_copied(self.kernel_initializer),
            bias_initializer=_copied(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            activity_regularizer=self._part_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
            **keywords,
        )

    # --- masks -------------------------------------------------------------------------------------

    def _allowed(self, query: Any, value: Any, masks: Sequence[Any], attention_mask: Any) -> Any:
        """Where attention may look but for causality, broadcasting to (batch, T, S); None for everywhere.

        masks: of query, value and key.
        """
        query_mask, value_mask, key_mask = masks
        terms = []
        if query_mask is not None:
            check_mask_shape(query_mask, query, "query mask", self)
            terms.append(ops.expand_dims(ops.cast(query_mask, "bool"), -1))
        for name, mask in (("value mask", value_mask), ("key mask", key_mask)):
            if mask is not None:
                check_mask_shape(mask, value, name, self)
                terms.append(ops.expand_dims(ops.cast(mask, "bool"), -2))
        target, source = query.shape[1], value.shape[1]
        if self._sliding_window is not None:
            distance = ops.expand_dims(ops.arange(target), 1) - ops.expand_dims(ops.arange(source), 0)
            terms.append(ops.less(ops.abs(distance), self._sliding_window)[None])
        if attention_mask is not None:
            self._check_attention_mask(attention_mask, query, value)
            terms.append(ops.cast(attention_mask, "bool"))
        allowed = None
        for term in terms:
            allowed = term if allowed is None else ops.logical_and(allowed, term)
        return allowed

    def _check_attention_mask(self, mask: Any, query: Any, value: Any) -> None:
        places = (*query.shape[1:-1], *value.shape[1:-1])
        got = tuple(mask.shape)[-len(places) :]
        if len(got) != len(places) or any(ours not in (1, theirs) for ours, theirs in zip(got, places)):
            raise ShapeError(
                f"{describe_layer(self)}: the attention_mask has a wrong shape.",
                expected=f"(batch, {', '.join(map(str, places))}), or 1 for an extent",
                got=str(tuple(mask.shape)),
            )

    # --- attention ---------------------------------------------------------------------------------

    def _attend(
        self,
        query: Any,
        key: Any,
        value: Any,
        allowed: Any,
        causal: bool,
        equations: tuple[str, str],
        training: Any,
        return_attention_scores: bool,
    ) -> tuple[Any, Any]:
        """(outputs per head, weights or None). equations: of key and query, of weights and values."""
        if self._flash_attention and return_attention_scores:
            raise ArgumentError(
                f"{describe_layer(self)}: flash attention has no scores to return.",
                fix="leave out flash_attention: the compiler decides by itself.",
            )
        drops = bool(self._dropout) and training is not False
        if not drops and not return_attention_scores and len(query.shape) == 4:
            if allowed is not None and len(allowed.shape) == 3:
                allowed = ops.expand_dims(allowed, 1)
            mixed = ops.dot_product_attention(
                query,
                key,
                value,
                mask=allowed,
                scale=self._scale,
                is_causal=causal,
                flash_attention=self._flash_attention,
            )
            return mixed, None
        repeats = query.shape[-2] // key.shape[-2]
        if repeats > 1:  # the op above shares heads by itself
            key, value = ops.repeat(key, repeats, axis=2), ops.repeat(value, repeats, axis=2)
        if causal:
            past = causal_mask(query.shape[1], key.shape[1])
            allowed = past if allowed is None else ops.logical_and(allowed, past)
        if allowed is not None:
            while len(allowed.shape) < len(query.shape) - 1 + self._attended:
                allowed = ops.expand_dims(allowed, -2 * self._attended - 1)
        scores = ops.einsum(equations[0], key, ops.multiply(query, self._scale))
        weights = self._softmax(scores, mask=allowed)
        used = self._dropout_layer(weights, training=training) if self._dropout else weights
        return ops.einsum(equations[1], used, value), weights

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        query, value, key = (with_mask(tensor, None) for tensor in (query, value, key))
        masks = (query_mask, value_mask, key_mask)
        allowed = self._allowed(query, value, masks, attention_mask)
        gate = self._gate_dense(query) if self._use_gate else None
        outputs, weights = self._mix(
            self._query_dense(query),
            self._key_dense(key),
            self._value_dense(value),
            allowed,
            use_causal_mask,
            training,
            return_attention_scores,
        )
        if gate is not None:
            outputs = ops.multiply(outputs, gate)
        outputs = self._output_dense(outputs)
        return (outputs, weights) if return_attention_scores else outputs

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
        raise NotImplementedError

    def compute_mask(self, query: Any, previous_mask: Any = None) -> Any:
        """The query's own mask."""
        return previous_mask

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        shapes = [None if tensor is None else tensor.shape for tensor in (query, value, key)]
        output = KerasTensor(self.compute_output_shape(*shapes), self.compute_dtype)
        if not return_attention_scores:
            return output
        return output, KerasTensor(self._scores_shape(query.shape, value.shape), self.compute_dtype)

    def compute_output_shape(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> Any:
        key_shape = value_shape if key_shape is None else key_shape
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ShapeError(
                f"{describe_layer(self)}: value and key differ before their last axis.",
                got=f"value {tuple(value_shape)}, key {tuple(key_shape)}",
            )
        return tuple(query_shape)

    def _scores_shape(self, query_shape: Any, value_shape: Any) -> tuple[int | None, ...]:
        raise NotImplementedError

    def _shared_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dropout": self._dropout,
            "use_bias": self._use_bias,
            "use_gate": self._use_gate,
            "sliding_window": self._sliding_window,
            **weight_config(self),
            "activity_regularizer": regularizers.serialize(self._part_regularizer),
            "seed": self.seed,
        }


def _copied(initializer: Any) -> Any:
    """An equal initializer with draws of its own."""
    if not hasattr(initializer, "get_config"):
        return initializer
    return type(initializer).from_config(initializer.get_config())


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
        whole = isinstance(key_dim, int) and key_dim > 0
        super().__init__(
            key_dim if whole else 1,
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
        whole = isinstance(head_dim, int) and head_dim > 0
        super().__init__(
            head_dim if whole else 1,
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
