"""Writing with a model that reads: token after token, each chosen by the scores that the model gives it.

The model is traced once over a whole sequence and taken apart into steps (`stepwise`), so keys and values of
attention and the states of recurrent layers are kept, and a token costs one position. The loop over tokens,
with the choice among them, is one compiled program.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lamina import ops
from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import ArgumentError, DataError
from lamina.function import Traced, trace_program
from lamina.interp.array import Array
from lamina.ir import TensorType
from lamina.ir.bodies import substitute
from lamina.ir.graph import Value
from lamina.ir.trace import State, Tensor, current
from lamina.losses.logits import softmax_logits
from lamina.models.model import Model
from lamina.models.stepwise import Steps, make_steps
from lamina.ops.attention import streaming
from lamina.training.programs import Program

FEWEST = 64  # positions that a model of any length is compiled for, and then twice as many, and so on
LONG_PROMPT = 10  # a prompt of at least a tenth of all positions is read at once
END = np.iinfo(np.int32).max  # no stop token


class _Model(NamedTuple):
    """A model traced over a whole sequence, and taken apart: for sequences of up to `capacity` tokens."""

    whole: Traced
    steps: Steps
    capacity: int


class _Writer(NamedTuple):
    """The compiled loop over tokens."""

    program: Program
    model: _Model


def generate(
    model: Model,
    prompt: Any,
    length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int | None = None,
    stop_token: int | None = None,
) -> Array:
    """`prompt` and `length` tokens that the model goes on with, as int32.

    model: a causal one, from tokens (batch, time) to scores (batch, time, vocabulary), logits or a softmax:
    attention with use_causal_mask=True or recurrent layers with return_sequences=True, and else layers that
    work on each position by itself. prompt: tokens (batch, time), or (time,) for one sequence. temperature:
    0 takes the best token; the higher, the bolder. top_k: choose among so many of the best only. seed: equal
    seeds write equal texts; None draws one from the global generator. stop_token: a sequence that has come to
    it stays there.

    Raises ArgumentError for a model that looks ahead, or when there are more tokens than the model has
    positions; DataError for tokens that are none.

    >>> generate(gpt, [[3, 1, 4]], 5, temperature=0).shape
    (1, 8)
    """
    if not isinstance(model, Model):
        raise ArgumentError(
            "generate() needs a model.", expected="a lamina.Model", got=f"{type(model).__name__}"
        )
    tokens = _checked_prompt(prompt)
    length = _checked_length(length)
    temperature, top_k = _checked_choice(temperature, top_k)
    if current() is not None:
        raise ArgumentError(
            "generate() cannot be part of a compiled function: it compiles a loop of its own."
        )
    total = tokens.shape[1] + length
    writer = _writer(model, tokens.shape, total, temperature > 0, top_k)
    buffer = np.zeros((tokens.shape[0], writer.model.capacity), np.int32)
    buffer[:, : tokens.shape[1]] = tokens
    _check_ids(writer.model.whole, tokens)
    given = [
        buffer,
        np.array(tokens.shape[1], np.int32),
        np.array(total, np.int32),
        np.array(temperature or 1.0, np.float32),
        _one_word(ops.random.key_of(seed)),
        np.array(END if stop_token is None else operator.index(stop_token), np.int32),
    ]
    lock = model._programs.lock
    lock.acquire_read()
    try:
        (written,) = writer.program.run(given)
    finally:
        lock.release_read()
    found = written[:, :total].copy().view(Array)
    return found if np.ndim(prompt) == 2 else found[0]


def _one_word(key: Any) -> np.ndarray[Any, Any]:
    """A key as uint32[1]; the place of its other word is taken by the time."""
    first, second = (int(word) for word in np.asarray(key))
    return np.array([(first + 0x9E3779B9 * second) % 2**32], np.uint32)


# --- what was asked for ----------------------------------------------------------------------------


def _checked_prompt(prompt: Any) -> np.ndarray[Any, Any]:
    tokens = np.asarray(prompt)
    if tokens.ndim not in (1, 2) or 0 in tokens.shape:
        raise DataError(
            "The prompt of generate() needs at least one token.",
            expected="whole numbers (batch, time), or (time,)",
            got=f"shape {tokens.shape}",
        )
    if tokens.dtype.kind not in "iu":
        raise DataError(
            "The prompt of generate() must be whole numbers.",
            got=str(tokens.dtype),
            fix="turn words into numbers with the layer that the training data went through.",
        )
    return tokens.reshape(-1, tokens.shape[-1]).astype(np.int32)


def _check_ids(whole: Traced, tokens: np.ndarray[Any, Any]) -> None:
    """DataError for tokens that an embedding does not have; in pieces of the length that was traced."""
    length = whole.program.inputs[0].shape[1]
    for start in range(0, tokens.shape[1], length):
        piece = tokens[:, start : start + length]
        filled = np.pad(piece, ((0, 0), (0, length - piece.shape[1])), mode="edge")
        for check in whole.id_checks:
            check.check([filled], ["the prompt"])


def _checked_length(length: Any) -> int:
    try:
        count = operator.index(length)
    except TypeError:
        count = -1
    if count < 0:
        raise ArgumentError("The length in generate() counts tokens: 0, 1, 2, ...", got=repr(length))
    return count


def _checked_choice(temperature: Any, top_k: Any) -> tuple[float, int | None]:
    heat = float(temperature)
    if not 0 <= heat < np.inf:
        raise ArgumentError("The temperature in generate() is a number from 0 on.", got=repr(temperature))
    if top_k is not None and (not isinstance(top_k, (int, np.integer)) or top_k < 1):
        raise ArgumentError("top_k in generate() is a whole number from 1 on, or None.", got=repr(top_k))
    return heat, None if top_k is None else int(top_k)


# --- compiling -------------------------------------------------------------------------------------


def _writer(model: Model, prompt: tuple[int, ...], total: int, draws: bool, top_k: int | None) -> _Writer:
    """The compiled loop for so many tokens; made when first needed, for lengths with room to grow."""
    batch, known = prompt
    room = max(FEWEST, 1 << (total - 1).bit_length())
    limit = _positions(model)
    programs = model._programs
    shared = (batch, room, limit, model._backend or config.backend, config.num_threads)
    taken: _Model = programs.keep(("positions", *shared), lambda: _take_apart(model, batch, room, limit))
    if total > taken.capacity:
        raise _too_long(model, total, taken.capacity)
    at_once = taken.steps.can_begin_later and known * LONG_PROMPT >= taken.capacity
    key = ("generate", *shared, draws, top_k, at_once)
    found: _Writer = programs.keep(key, lambda: _make(model, taken, _Loop(taken, draws, top_k, at_once)))
    return found


def _positions(model: Model) -> int | None:
    """How many positions the model says it takes; None for any number."""
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[1], int):
        return shape[1]
    return None


def _take_apart(model: Model, batch: int, room: int, limit: int | None) -> _Model:
    sequence = limit or room
    with streaming():
        whole = trace_program(
            lambda tokens: _scores(model, tokens), [TensorType((batch, sequence), "int32")], model.name
        )
    if whole.program.updates:
        raise ArgumentError(
            f"Model '{model.name}' changes its own state, so it cannot be run ahead of itself."
        )
    steps = make_steps(whole.program.inputs[0], whole.program.outputs[0])
    return _Model(whole, steps, sequence if steps.bounded else room)


def _make(model: Model, taken: _Model, loop: _Loop) -> _Writer:
    kinds = [
        TensorType((taken.whole.program.inputs[0].shape[0], taken.capacity), "int32"),
        *[TensorType((), "int32")] * 2,
        TensorType((), "float32"),
        TensorType((1,), "uint32"),
        TensorType((), "int32"),
    ]
    return _Writer(Program(trace_program(loop.run, kinds, f"{model.name}_generate"), model._backend), taken)


def _too_long(model: Model, total: int, capacity: int) -> ArgumentError:
    return ArgumentError(
        f"Model '{model.name}' knows {capacity} positions; prompt and length together are {total} tokens.",
        fix="a shorter prompt or length; or Input((None,)), and vectors of places for longer texts.",
    )


def _scores(model: Model, tokens: Any) -> Any:
    """Logits; those of a softmax at the end of the model are found again."""
    outputs = model(tokens, training=False)
    if not hasattr(outputs, "shape") or len(outputs.shape) != 3 or not dtypes.is_float(str(outputs.dtype)):
        raise ArgumentError(
            f"generate() needs a model with scores for every position; '{model.name}' gives something else.",
            expected="(batch, time, vocabulary)",
            got=str(getattr(outputs, "shape", type(outputs).__name__)),
        )
    logits = softmax_logits(outputs)
    return ops.cast(outputs if logits is None else logits, "float32")


class _Loop:
    """The loop over tokens, as a function to trace.

    at_once: whether the model reads the prompt as it reads any sequence, all positions at once, and the loop
    begins at its last token; otherwise it begins at the first one.
    """

    def __init__(self, taken: _Model, draws: bool, top_k: int | None, at_once: bool) -> None:
        self.steps = taken.steps
        self.states: list[State] = taken.whole.states
        self.inputs = taken.whole.program.states
        self.tokens = taken.whole.program.inputs[0]
        self.draws = draws
        self.top_k = top_k
        self.at_once = at_once

    def run(self, buffer: Any, known: Any, total: Any, temperature: Any, key: Any, stop: Any) -> Any:
        """The buffer with tokens up to `total`; the first `known` are there."""
        trace = current()
        assert trace is not None
        weights = {held: trace.read(state).value for held, state in zip(self.inputs, self.states)}
        first, starts = self._before(buffer, known, weights)

        def goes_on(time: Any, _buffer: Any, stopped: Any, *_memories: Any) -> Any:
            return ops.logical_and(time < total - 1, ops.logical_not(ops.all(stopped)))

        def body(time: Any, buffer: Any, stopped: Any, *memories: Any) -> Any:
            token = ops.take(buffer, ops.reshape(time, (1,)), axis=1)
            given = {**weights, self.steps.token: token.value, self.steps.time: time.value}
            given |= {memory.before: now.value for memory, now in zip(self.steps.memories, memories)}
            output, *after = substitute(
                [self.steps.output, *(memory.after for memory in self.steps.memories)], given
            )
            chosen = self._choose(Tensor(output)[:, 0], time, temperature, key)
            following = time + 1
            there = ops.take(buffer, ops.reshape(following, (1,)), axis=1)[:, 0]
            chosen = ops.where(following < known, there, ops.where(stopped, stop, chosen))
            is_next = ops.equal(ops.arange(buffer.shape[1], dtype="int32"), following)
            buffer = ops.where(is_next[None], chosen[:, None], buffer)
            stopped = ops.logical_and(following >= known, ops.equal(chosen, stop))
            return (following, buffer, stopped, *map(Tensor, after))

        never = ops.zeros((buffer.shape[0],), "bool")
        found = ops.while_loop(goes_on, body, (first, buffer, never, *map(Tensor, starts)))
        after = ops.arange(buffer.shape[1], dtype="int32") > found[0]
        rest = ops.logical_and(after[None], ops.ones_like(buffer, "bool"))
        return ops.where(rest, stop, found[1])

    def _before(self, buffer: Any, known: Any, weights: dict[Value, Value]) -> tuple[Any, Sequence[Value]]:
        """The position where the loop begins, and the memories before it."""
        memories = self.steps.memories
        if not self.at_once:
            return ops.cast(0, "int32"), substitute([memory.start for memory in memories], weights)
        whole = [memory.whole for memory in memories if memory.whole is not None]
        return known - 1, substitute(whole, {**weights, self.tokens: buffer.value})

    def _choose(self, scores: Any, time: Any, temperature: Any, key: Any) -> Any:
        """A token for each row of scores (batch, vocabulary)."""
        if not self.draws:
            return ops.argmax(scores, axis=-1)
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            lowest = ops.top_k(scores, self.top_k)[0][:, -1:]
            scores = ops.where(scores < lowest, -np.inf, scores)
        both = ops.concatenate([key, ops.reshape(ops.cast(time, "uint32"), (1,))])
        return ops.random.categorical(both, scores / temperature, 1)[:, 0]


__all__ = ["generate"]
