"""Attention over plain sequences: every place of a query looks up a mixture of values."""

from __future__ import annotations

from typing import Any

from lamina import ops, random
from lamina.core.errors import ArgumentError
from lamina.ir.symbolic import KerasTensor
from lamina.layers.arguments import number
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY


def causal_mask(target: int, source: int) -> Any:
    """bool (1, target, source): place t may look at the places s <= t."""
    return ops.tri(target, source, dtype="bool")[None]


@REGISTRY.register
class Attention(Layer):
    """Dot-product attention: `softmax(scores(query, key)) @ value`.

    Called on [query, value] or [query, value, key]: query (batch, T, d), value (batch, S, e), key (batch, S,
    d), which is the value when left out; gives (batch, T, e), and with return_attention_scores=True also the
    weights (batch, T, S).

    use_scale: multiply the scores with a learnt number (weight scale). score_mode: "dot", query @ key^T, or
    "concat", the sum over features of tanh(query + key), times a learnt number (weight concat_score_weight).
    dropout: rate at which weights are dropped while training.
    mask: [query mask (batch, T), value mask (batch, S)]: no place looks at values whose mask is False, and
    outputs are 0 where the query's is. use_causal_mask: no place looks at later ones.
    Source: M. Luong, H. Pham, C. Manning, "Effective Approaches to Attention-based Neural Machine
    Translation" (2015).

    >>> Attention()([np.zeros((2, 3, 4)), np.zeros((2, 5, 4))]).shape
    (2, 3, 4)
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_scale = use_scale
        self.score_mode = score_mode
        self.dropout = number(dropout, "dropout", self, low=0, high=1)
        self.seed = seed
        if score_mode not in ("dot", "concat"):
            raise ArgumentError(
                f"{describe_layer(self)} cannot have score_mode={score_mode!r}.", expected="'dot' or 'concat'"
            )
        if self.dropout > 0:
            self.seed_generator = random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self._check_list(input_shape)
        self.scale = self._number("scale") if self.use_scale else None
        self.concat_score_weight = (
            self._number("concat_score_weight") if self.score_mode == "concat" else None
        )

    def _number(self, name: str) -> Any:
        return self.add_weight(name=name, shape=(), initializer="ones")

    def _calculate_scores(self, query: Any, key: Any) -> Any:
        """(batch, T, S)."""
        if self.score_mode == "dot":
            scores = ops.matmul(query, ops.swapaxes(key, -2, -1))
            return scores if self.scale is None else ops.multiply(scores, self.scale)
        pairs = ops.add(ops.expand_dims(query, -2), ops.expand_dims(key, -3))
        if self.scale is not None:
            pairs = ops.multiply(self.scale, pairs)
        return ops.multiply(self.concat_score_weight, ops.sum(ops.tanh(pairs), axis=-1))

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: Any = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        self._check_list(inputs)
        self._check_mask(mask, inputs)
        query, value = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask, value_mask = (mask[0], mask[1]) if mask else (None, None)
        drops = training and self.dropout > 0
        if self._is_plain() and value_mask is None and not drops and not return_attention_scores:
            return _masked(self._attend(query, key, value, use_causal_mask), query_mask)
        scores = self._calculate_scores(query=query, key=key)
        allowed = None if value_mask is None else ops.expand_dims(ops.cast(value_mask, "bool"), -2)
        if use_causal_mask:
            causal = causal_mask(scores.shape[-2], scores.shape[-1])
            allowed = causal if allowed is None else ops.logical_and(allowed, causal)
        if allowed is not None:
            most = 65504.0 if str(scores.dtype) == "float16" else 1.0e9
            scores = ops.where(allowed, scores, ops.subtract(scores, most))
        weights = ops.softmax(scores, axis=-1)
        used = weights
        if drops:
            used = random.dropout(weights, self.dropout, seed=self.seed_generator)
        outputs = _masked(ops.matmul(used, value), query_mask)
        return (outputs, used) if return_attention_scores else outputs

    def _is_plain(self) -> bool:
        """Whether scores are products of queries and keys."""
        return self.score_mode == "dot" and type(self)._calculate_scores is Attention._calculate_scores

    def _attend(self, query: Any, key: Any, value: Any, causal: bool) -> Any:
        """Attention with one head, which may stream over the keys."""
        if self.scale is not None:
            query = ops.multiply(query, self.scale)
        query, key, value = (ops.expand_dims(x, 2) for x in (query, key, value))
        return ops.squeeze(ops.dot_product_attention(query, key, value, scale=1.0, is_causal=causal), 2)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None if not mask else mask[0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[0][:-1], input_shape[1][-1])

    def compute_output_spec(
        self,
        inputs: Any,
        mask: Any = None,
        training: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        self._check_list(inputs)
        shapes = [tuple(tensor.shape) for tensor in inputs]
        output = KerasTensor(self.compute_output_shape(shapes), self.compute_dtype)
        if not return_attention_scores:
            return output
        return output, KerasTensor((*shapes[0][:-1], shapes[-1][-2]), self.compute_dtype)

    def _check_list(self, inputs: Any) -> None:
        if not isinstance(inputs, (list, tuple)) or not 2 <= len(inputs) <= 3:
            raise ArgumentError(
                f"{describe_layer(self)} is called on a list.",
                expected="[query, value] or [query, value, key]",
                got=f"{len(inputs)} entries" if isinstance(inputs, (list, tuple)) else type(inputs).__name__,
            )

    def _check_mask(self, mask: Any, inputs: Any) -> None:
        if mask is None:
            return
        if not isinstance(mask, (list, tuple)) or not 2 <= len(mask) <= 3:
            raise ArgumentError(
                f"{describe_layer(self)} takes a list as its mask.",
                expected="[query mask, value mask]",
                got=type(mask).__name__ if not isinstance(mask, (list, tuple)) else f"{len(mask)} entries",
            )
        for name, given, tensor in zip(("query", "value"), mask, inputs):
            check_mask_shape(given, tensor, f"{name} mask", self)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "use_scale": self.use_scale,
            "score_mode": self.score_mode,
            "dropout": self.dropout,
            "seed": self.seed,
        }


def _masked(outputs: Any, query_mask: Any) -> Any:
    """The outputs, 0 where the mask of the queries is False."""
    if query_mask is None:
        return outputs
    return ops.where(ops.expand_dims(ops.cast(query_mask, "bool"), -1), outputs, 0)


def check_mask_shape(mask: Any, tensor: Any, what: str, layer: Any) -> None:
    """ArgumentError unless `mask` has the shape of `tensor` without its features (1 fits every extent)."""
    if mask is None:
        return
    wanted, got = tuple(tensor.shape[:-1]), tuple(mask.shape)
    if len(wanted) != len(got) or any(
        ours not in (theirs, 1, None) and theirs is not None for ours, theirs in zip(got, wanted)
    ):
        raise ArgumentError(
            f"{describe_layer(layer)}: the {what} has a wrong shape.",
            expected=f"{wanted}, for data of shape {tuple(tensor.shape)}",
            got=f"{got}",
        )


@REGISTRY.register
class AdditiveAttention(Attention):
    """Attention by a sum: the score of a query and a key is the sum over features of `tanh(query + key)`.

    Called like Attention. use_scale: weigh the features with learnt numbers (weight scale, one per feature).
    Source: D. Bahdanau, K. Cho, Y. Bengio, "Neural Machine Translation by Jointly Learning to Align and
    Translate" (2014).

    >>> AdditiveAttention()([np.zeros((2, 3, 4)), np.zeros((2, 5, 4))]).shape
    (2, 3, 4)
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        self._check_list(input_shape)
        self.scale = None
        if self.use_scale:
            self.scale = self.add_weight(
                name="scale", shape=(input_shape[0][-1],), initializer="glorot_uniform"
            )

    def _calculate_scores(self, query: Any, key: Any) -> Any:
        sums = ops.tanh(ops.add(ops.expand_dims(query, -2), ops.expand_dims(key, -3)))
        return ops.sum(sums if self.scale is None else ops.multiply(self.scale, sums), axis=-1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["score_mode"]
        return config
