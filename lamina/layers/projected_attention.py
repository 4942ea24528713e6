"""What attention with heads shares: projections, masks, and attention per head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import constraints, initializers, ops, random, regularizers
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir.symbolic import KerasTensor
from lamina.layers.activation import Softmax
from lamina.layers.arguments import number, positive_integer
from lamina.layers.attention import causal_mask, check_mask_shape
from lamina.layers.dense import weight_config
from lamina.layers.einsum_dense import EinsumDense
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer
from lamina.layers.masks import with_mask
from lamina.layers.regularization import Dropout
from lamina.ops.attention import attend, streams


class ProjectedAttention(Layer):
    """What attention with heads shares: settings of the projections, masks, and attention itself.

    Subclasses make the projections, named query, key, value, gate and attention_output.
    """

    _attended = 1  # the number of axes that attention runs over
    _scale: float  # of the scores: 1 / sqrt(features of a key)
    _query_dense: EinsumDense
    _key_dense: EinsumDense
    _value_dense: EinsumDense
    _gate_dense: EinsumDense
    _output_dense: EinsumDense

    def __init__(
        self,
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
        is_plain = not return_attention_scores and len(query.shape) == 4
        if is_plain and (not drops or (training and self._streams(query, key, value))):
            if allowed is not None and len(allowed.shape) == 3:
                allowed = ops.expand_dims(allowed, 1)
            mixed = attend(
                query,
                key,
                value,
                mask=allowed,
                scale=self._scale,
                is_causal=causal,
                flash_attention=self._flash_attention,
                rate=self._dropout if drops else 0.0,
                bits=random.draw_seed(self._dropout_layer.seed_generator) if drops else None,
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

    def _streams(self, query: Any, key: Any, value: Any) -> bool:
        return self._dropout < 1 and streams(query, key, value, self._flash_attention)

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
