"""RNN: a cell applied to a sequence, step by step, by one compiled loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

from lamina import ops
from lamina.core import tree
from lamina.core.errors import ArgumentError, ShapeError, StateError
from lamina.core.naming import name_scope
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.layers.call_arguments import signature_of
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer
from lamina.layers.recurrent_cells import RecurrentCell
from lamina.layers.registry import REGISTRY
from lamina.layers.tracking import untracked
from lamina.variables import Variable

Step = Callable[[Any, list[Any]], tuple[Any, Any]]


@REGISTRY.register
class RNN(Layer):
    """`output, states = cell(x[:, t], states)` for every time t of (batch, time, features).

    cell: a layer or any object with `state_size` (an extent, or a list with one per state), called as
    `cell(inputs, states)` with a list of states, returning (output, new states); `output_size` and
    `get_initial_state(batch_size)` are used if it has them. A list of cells is stacked.
    return_sequences: the outputs of all times, (batch, time, output), instead of the last one. return_state:
    the last states, too. go_backwards: from the end to the start; outputs come in that order. stateful: each
    batch goes on where the one before it ended, row by row, until `reset_state()`. unroll: a copy of the step
    for each time instead of a loop; compiles longer. zero_output_for_mask: 0 where the mask is False, instead
    of the output before.

    Called with `initial_state` (a list of tensors) and `mask` (batch, time): where it is False a step is
    skipped and the states stay. Raises ShapeError for sequences without steps and masks that do not fit.

    >>> RNN(SimpleRNNCell(4))(np.zeros((2, 5, 3), "float32")).shape
    (2, 4)
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, (list, tuple)):
            from lamina.layers.stacked_cells import StackedRNNCells

            cell = StackedRNNCells(cell)
        super().__init__(**kwargs)
        if not callable(cell) or getattr(cell, "state_size", None) is None:
            raise ArgumentError(
                f"{describe_layer(self)} needs a cell: something callable with a state_size.",
                got=f"{cell!r:.80}",
                fix="self.state_size = units in the cell's __init__, and call(self, inputs, states).",
            )
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.supports_masking = True
        self.states: list[Any] | None = None
        size = cell.state_size
        self.single_state = not isinstance(size, (list, tuple))
        self.state_size = [size] if self.single_state else list(size)

    # --- building and states -----------------------------------------------------------------------

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
        if self.stateful and self.states is None:
            if sequences_shape[0] is None:
                raise StateError(
                    f"{describe_layer(self)} is stateful, so it must know the batch size.",
                    fix="Input(batch_shape=(batch, time, features)).",
                )
            self._make_states(sequences_shape[0])

    @untracked()
    def _make_states(self, batch: int) -> None:
        with name_scope(self.name, caller=self):
            self.states = tree.map_structure(
                lambda value: Variable(value, trainable=False, dtype=self.variable_dtype, name="rnn_state"),
                self.get_initial_state(batch),
            )

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """The states before the first step: zeros, unless the cell says otherwise."""
        if hasattr(self.cell, "get_initial_state"):
            states = self.cell.get_initial_state(batch_size=batch_size)
            return list(states) if isinstance(states, (list, tuple)) else [states]
        return [ops.zeros((batch_size, *_as_tuple(size)), self.compute_dtype) for size in self.state_size]

    def reset_state(self) -> None:
        """Forget the states of a stateful layer."""
        for state in tree.leaves(self.states or []):
            state.assign(ops.zeros_like(state.value))

    reset_states = reset_state

    def _first_states(self, sequences: Any, initial_state: Any) -> list[Any]:
        batch = sequences.shape[0]
        if initial_state is None:
            initial_state = self.states if self.stateful else self.get_initial_state(batch)
        given = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
        if len(given) != len(self.state_size):
            raise ArgumentError(
                f"{describe_layer(self)} got a wrong number of initial states.",
                expected=str(len(self.state_size)),
                got=str(len(given)),
            )
        for state in tree.leaves(given):
            if state.shape[0] not in (batch, None):
                raise ShapeError(
                    f"{describe_layer(self)}: states and sequences differ in their batch.",
                    got=f"states {tuple(state.shape)}, sequences {tuple(sequences.shape)}",
                    fix="a stateful layer takes batches of one size: a batch_size that divides the rows."
                    if self.stateful
                    else None,
                )
        dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
        return tree.map_structure(lambda state: ops.cast(ops.convert_to_tensor(state), dtype), given)

    # --- the loop ----------------------------------------------------------------------------------

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = False) -> Any:
        self._check(sequences, mask)
        states = self._first_states(sequences, initial_state)
        last, outputs, states = self.inner_loop(sequences, states, mask, training=training)
        if self.stateful:
            for variable, state in zip(tree.leaves(self.states), tree.leaves(states)):
                variable.assign(state)
        output = outputs if self.return_sequences else last
        if isinstance(self.compute_dtype, str):
            output, states = tree.map_structure(lambda x: ops.cast(x, self.compute_dtype), (output, states))
        return (output, *states) if self.return_state else output

    def _check(self, sequences: Any, mask: Any) -> None:
        if not sequences.shape[1]:
            raise ShapeError(
                f"{describe_layer(self)} got sequences without a single step.",
                expected="(batch, time, features) with time of at least 1",
                got=f"shape {tuple(sequences.shape)}",
            )
        if mask is not None and tuple(mask.shape[:2]) != tuple(sequences.shape[:2]):
            raise ShapeError(
                f"{describe_layer(self)}: the mask does not fit the sequences.",
                expected=f"shape {tuple(sequences.shape[:2])}",
                got=f"shape {tuple(mask.shape)}",
            )

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: Any = False) -> Any:
        """(last output, all outputs or None, last states)."""
        cell = self.cell
        prepare_masks(cell, sequences[:, 0], initial_state, training)
        try:
            # Time comes first, so that what belongs to a step lies together.
            sequences = ops.swapaxes(sequences, 0, 1)
            in_parts = isinstance(cell, RecurrentCell) and type(cell).call is RecurrentCell.call
            if in_parts:
                # The product of the inputs with their weights does not need the states: one for all times.
                sequences = cell.project(sequences, training)
                step: Step = partial(cell.step, training=training)
            else:
                step = cell_step(cell, training)
            return loop(
                step,
                sequences,
                initial_state,
                mask=mask,
                go_backwards=self.go_backwards,
                unroll=self.unroll,
                keep_all=self.return_sequences,
                zero_masked=self.zero_output_for_mask,
                output_is_state=in_parts,
                output_size=_as_tuple(self._output_size()),
            )
        finally:
            forget_masks(cell)

    def _output_size(self) -> Any:
        size = getattr(self.cell, "output_size", None)
        if size is None:
            size = self.state_size[0]
        return size

    # --- shapes, masks, configs --------------------------------------------------------------------

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        batch, length = sequences_shape[:2]
        size = _as_tuple(self._output_size())
        output = (batch, length, *size) if self.return_sequences else (batch, *size)
        if not self.return_state:
            return output
        states = [
            [(batch, *_as_tuple(part)) for part in entry]
            if isinstance(entry, (list, tuple))
            else (batch, *_as_tuple(entry))
            for entry in self.state_size
        ]
        return (output, *states)

    def compute_mask(self, sequences: Any, previous_mask: Any = None) -> Any:
        mask = tree.flatten(previous_mask)[0]
        output_mask = mask if self.return_sequences else None
        return [output_mask, *(None for _ in self.state_size)] if self.return_state else output_mask

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "cell": serialize_object(self.cell),
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return super().from_config({**config, "cell": deserialize_object(config["cell"])})


def _as_tuple(size: Any) -> tuple[int, ...]:
    return tuple(size) if isinstance(size, (list, tuple)) else (int(size),)


def takes_training(cell: Any) -> bool:
    """Whether a cell's `call` names `training`."""
    return isinstance(cell, Layer) and "training" in signature_of(type(cell).call).parameters


def cell_step(cell: Any, training: Any) -> Step:
    """One call of a cell as (inputs, states) -> (output, list of states)."""
    keywords = {"training": training} if takes_training(cell) else {}

    def step(inputs: Any, states: list[Any]) -> tuple[Any, Any]:
        output, new = cell(inputs, states, **keywords)
        return output, list(new) if isinstance(new, (list, tuple)) else [new]

    return step


def prepare_masks(cell: Any, inputs: Any, states: Any, training: Any) -> None:
    """Draw the dropout masks of a cell for one whole sequence, before its loop begins."""
    if hasattr(cell, "draw_masks"):
        cell.draw_masks(inputs, states, training)


def forget_masks(cell: Any) -> None:
    """The sequence is over."""
    if hasattr(cell, "drop_masks"):
        cell.drop_masks()


def loop(
    step: Step,
    sequences: Any,
    states: list[Any],
    *,
    mask: Any,
    go_backwards: bool,
    unroll: bool,
    keep_all: bool,
    zero_masked: bool,
    output_is_state: bool,
    output_size: Sequence[int],
) -> tuple[Any, Any, list[Any]]:
    """`step` along the time of (time, batch, ...): (last output, all outputs or None, last states).

    The outputs are (batch, time, ...). mask: (batch, time, ...), False where a step is skipped.
    output_is_state: whether the output of a step is its first new state; then no other output is carried
    along. The outputs of a loop backwards come in the order in which they are computed.
    """
    slices = [sequences]
    if mask is not None:
        mask = ops.cast(mask, "bool")
        while len(mask.shape) > 2:  # a step counts if any of its entries does
            mask = ops.any(mask, axis=-1)
        slices.append(ops.swapaxes(mask, 0, 1))
    carried = [] if output_is_state else [ops.zeros((sequences.shape[1], *output_size), states_dtype(states))]

    def body(carry: tuple[Any, Any], x: list[Any]) -> tuple[Any, Any]:
        before, last = carry
        output, new = step(x[0], before)
        if mask is not None:
            kept = x[1]
            output = _where(kept, output, _skipped(output, before, last, zero_masked))
            new = tree.map_structure(lambda one, other: _where(kept, one, other), list(new), list(before))
        return (list(new), [] if output_is_state else [output]), output if keep_all else ()

    if unroll:
        (states, last), outputs = _unrolled(body, (states, carried), slices, go_backwards)
    else:
        (states, last), outputs = ops.scan(body, (states, carried), slices, reverse=go_backwards)
        if keep_all and go_backwards:
            outputs = ops.flip(outputs, axis=0)
    final = states[0] if output_is_state else last[0]
    if zero_masked and mask is not None and output_is_state:
        final = _where(slices[1][0 if go_backwards else -1], final, ops.zeros_like(final))
    return final, ops.swapaxes(outputs, 0, 1) if keep_all else None, states


def states_dtype(states: Any) -> str:
    return str(next(tree.leaves(states)).dtype)


def _skipped(output: Any, states: list[Any], last: list[Any], zero_masked: bool) -> Any:
    """What a skipped step shows: nothing, or again what was shown before, which the first state holds."""
    if zero_masked:
        return ops.zeros_like(output)
    first = states[-1][0] if isinstance(states[0], (list, tuple)) else states[0]
    return last[0] if last and tuple(first.shape) != tuple(output.shape) else first


def _where(kept: Any, new: Any, old: Any) -> Any:
    """`new` in the rows that are kept, `old` in the others."""
    return ops.where(ops.reshape(kept, (-1, *(1 for _ in new.shape[1:]))), new, old)


def _unrolled(body: Any, carry: Any, slices: list[Any], go_backwards: bool) -> tuple[Any, Any]:
    length = slices[0].shape[0]
    found = []
    for time in reversed(range(length)) if go_backwards else range(length):
        carry, output = body(carry, [entry[time] for entry in slices])
        found.append(output)
    return carry, ops.stack(found) if not isinstance(found[0], tuple) else ()
