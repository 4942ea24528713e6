"""Bidirectional: a recurrent layer run from both ends."""

from __future__ import annotations

from typing import Any, Self

from lamina import ops
from lamina.core.errors import ArgumentError
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY

_MERGES = ("concat", "sum", "ave", "mul", None)
_SHARED = ("stateful", "return_sequences", "return_state")


@REGISTRY.register
class Bidirectional(Layer):
    """A recurrent layer, and a copy of it that runs backwards in time, with their outputs merged.

    layer: an RNN; it is copied, with its name behind "forward_" and "backward_". merge_mode: "concat" (one
    behind the other), "sum", "ave", "mul", or None for both outputs. weights: first values, forward ones
    first. backward_layer: another layer for the way back, with go_backwards=True. States are those of the
    forward layer, then those of the backward one.
    Raises ArgumentError when the two layers do not go together.
    Source: M. Schuster, K. Paliwal, "Bidirectional Recurrent Neural Networks" (1997).

    >>> Bidirectional(LSTM(4))(np.zeros((2, 10, 3), "float32")).shape
    (2, 8)
    """

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for given in (layer, backward_layer):
            if given is not None and not (isinstance(given, Layer) and hasattr(given, "go_backwards")):
                raise ArgumentError(f"{describe_layer(self)} wraps recurrent layers.", got=f"{given!r:.80}")
        if merge_mode not in _MERGES:
            raise ArgumentError(
                f"{describe_layer(self)} cannot have merge_mode={merge_mode!r}.",
                expected=", ".join(map(repr, _MERGES)),
            )
        self.forward_layer = _copied(layer, "forward_")
        self.backward_layer = (
            _copied(layer, "backward_", go_backwards=True) if backward_layer is None else backward_layer
        )
        self._check_pair()
        for part in (self.forward_layer, self.backward_layer):
            part.zero_output_for_mask = part.return_sequences
        self.merge_mode = merge_mode
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.supports_masking = True
        self.input_spec = layer.input_spec
        self._initial_weights = weights

    def _check_pair(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ArgumentError(
                f"{describe_layer(self)}: both layers have go_backwards={forward.go_backwards}.",
                fix="give the backward_layer go_backwards=True, and the layer go_backwards=False.",
            )
        for name in _SHARED:
            one, other = getattr(forward, name), getattr(backward, name)
            if one != other:
                raise ArgumentError(
                    f"{describe_layer(self)}: the two layers differ in {name}.", got=f"{one} and {other}"
                )

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        for part in (self.forward_layer, self.backward_layer):
            if not part.built:
                part.build(sequences_shape)
        if self._initial_weights is not None:
            half = len(self._initial_weights) // 2
            self.forward_layer.set_weights(self._initial_weights[:half])
            self.backward_layer.set_weights(self._initial_weights[half:])

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None) -> Any:
        half = 0 if initial_state is None else len(initial_state) // 2
        first = None if initial_state is None else list(initial_state[:half])
        second = None if initial_state is None else list(initial_state[half:])
        forward = self.forward_layer(sequences, initial_state=first, mask=mask, training=training)
        backward = self.backward_layer(sequences, initial_state=second, mask=mask, training=training)
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*forward[1:], *backward[1:])
            forward, backward = forward[0], backward[0]
        if self.return_sequences:
            backward = ops.flip(backward, axis=1)
        merged = self._merged(forward, backward)
        return (*merged, *states) if isinstance(merged, tuple) else (merged, *states) if states else merged

    def _merged(self, forward: Any, backward: Any) -> Any:
        if self.merge_mode == "concat":
            return ops.concatenate([forward, backward], axis=-1)
        if self.merge_mode == "sum":
            return ops.add(forward, backward)
        if self.merge_mode == "ave":
            return ops.divide(ops.add(forward, backward), 2)
        return ops.multiply(forward, backward) if self.merge_mode == "mul" else (forward, backward)

    def reset_state(self) -> None:
        """Forget the states of both layers."""
        for part in (self.forward_layer, self.backward_layer):
            part.reset_state()

    reset_states = reset_state

    @property
    def states(self) -> Any:
        """The states of both layers, None when there are none."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        return None if not forward else [*forward, *backward]

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        found = self.forward_layer.compute_output_shape(sequences_shape)
        output, states = (found[0], tuple(found[1:])) if self.return_state else (found, ())
        if self.merge_mode is None:
            return (output, output, *states, *states)
        if self.merge_mode == "concat":
            output = (*output[:-1], output[-1] * 2)
        return (output, *states, *states) if self.return_state else output

    def compute_mask(self, sequences: Any, previous_mask: Any = None) -> Any:
        mask = previous_mask if self.return_sequences else None
        if self.merge_mode is None:
            return [mask, mask]
        return [mask] if self.return_state else mask

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": serialize_object(self.forward_layer),
            "backward_layer": serialize_object(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        layers = {
            key: deserialize_object(config[key]) for key in ("layer", "backward_layer") if config.get(key)
        }
        return super().from_config({**config, **layers})


def _copied(layer: Layer, prefix: str, **changes: Any) -> Any:
    """A layer with the config of this one and its own state."""
    config = serialize_object(layer)
    config["config"] = {**config["config"], **changes, "name": prefix + layer.name.removeprefix(prefix)}
    return deserialize_object(config)
