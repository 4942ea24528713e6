"""Connectionist temporal classification: labels for sequences without saying when each is heard."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, ShapeError
from lamina.interp import as_eager
from lamina.ir.trace import Tensor
from lamina.ops.activation import log_softmax
from lamina.ops.arithmetic import add, logaddexp, multiply
from lamina.ops.contract import einsum
from lamina.ops.control import scan
from lamina.ops.convert import as_tensor, dtype_of, wider_float
from lamina.ops.create import arange, full, zeros
from lamina.ops.index import one_hot, take_along_axis
from lamina.ops.join import concatenate
from lamina.ops.logic import equal, greater_equal, less, where
from lamina.ops.move import expand_dims, pad, transpose
from lamina.ops.order import argsort
from lamina.ops.reduce import argmax, max, sum
from lamina.ops.registry import op

# The logarithm of what cannot be. Finite, so that its differences are.
_IMPOSSIBLE = -1e5


@op
def ctc_loss(target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0) -> Any:
    """-log of the probability of the labels, summed over all ways to align them with the outputs: (batch,).

    target: whole numbers (batch, labels). output: logits (batch, time, classes). target_length,
    output_length: (batch,), how much of each row counts. mask_index: the class that stands for no label.

    The forward recursion over (label heard last, or silence after it) is one loop over time.
    Source: A. Graves et al., "Connectionist Temporal Classification" (2006).
    """
    target, output = as_tensor(as_tensor(target), "int32"), as_tensor(output)
    if len(target.shape) != 2 or len(output.shape) != 3 or target.shape[0] != output.shape[0]:
        raise ShapeError(
            "ctc_loss: the shapes do not fit.",
            expected="target (batch, labels), output (batch, time, classes)",
            got=f"{tuple(target.shape)} and {tuple(output.shape)}",
        )
    kind = wider_float(dtype_of(output))
    batch, labels = target.shape
    time, classes = output.shape[1], output.shape[2]
    scores = log_softmax(as_tensor(output, kind))
    # 1 where a label is followed by itself: a silence must lie between the two.
    repeated = as_tensor(equal(target[:, :-1], target[:, 1:]), kind)
    repeated = pad(repeated, ((0, 0), (0, 1)))
    silence = transpose(scores[:, :, mask_index : mask_index + 1], (1, 0, 2))
    emitted = transpose(einsum("btk,bnk->btn", scores, one_hot(target, classes, dtype=kind)), (1, 0, 2))
    runs = expand_dims(less(expand_dims(arange(time), 1), expand_dims(as_tensor(output_length), 0)), -1)

    def after(silent: Any, added: Any) -> Any:
        return concatenate([silent[:, :1], logaddexp(silent[:, 1:], added)], axis=-1)

    def step(before: tuple[Any, Any], x: tuple[Any, Any, Any]) -> tuple[Any, Any]:
        silent, heard = before
        score, quiet, kept = x
        reach = after(silent, add(heard, multiply(repeated, _IMPOSSIBLE)))
        new_heard = logaddexp(add(reach[:, :-1], score), add(heard, score))
        again = add(add(heard, quiet), multiply(add(1.0, multiply(repeated, -1.0)), _IMPOSSIBLE))
        new_silent = after(add(reach, quiet), again)
        return (where(kept, new_silent, silent), where(kept, new_heard, heard)), ()

    start = concatenate([zeros((batch, 1), kind), full((batch, labels), _IMPOSSIBLE, kind)], axis=1)
    first = (start, full((batch, labels), _IMPOSSIBLE, kind))
    (silent, heard), _ = scan(step, first, (emitted, silence, runs))
    last = after(silent, heard)
    place = one_hot(as_tensor(target_length), labels + 1, dtype=kind)
    return multiply(sum(multiply(last, place), axis=1), -1.0)


@op
def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[Any, Any]:
    """The labels that outputs (batch, time, classes) most likely mean: (labels (paths, batch, time), scores).

    Labels stand in front, -1 behind them. strategy: "greedy", the best class at every time, and as score
    minus the sum of these outputs, (batch, 1); or "beam_search", the `top_paths` most probable sequences of
    labels among `beam_width` candidates, with their log-probabilities (batch, top_paths); that one needs
    numbers, and is not compiled. merge_repeated: equal neighbours are one label (greedy). mask_index: the
    class for no label.
    """
    inputs = as_tensor(inputs)
    if len(inputs.shape) != 3:
        raise ShapeError("ctc_decode takes outputs (batch, time, classes).", got=str(tuple(inputs.shape)))
    inputs = as_tensor(inputs, wider_float(dtype_of(inputs)))
    lengths = as_tensor(as_tensor(sequence_lengths), "int32")
    if strategy == "greedy":
        return _greedy(inputs, lengths, merge_repeated, mask_index)
    if strategy != "beam_search":
        raise ArgumentError(f"Unknown strategy {strategy!r}.", expected="'greedy' or 'beam_search'")
    if isinstance(inputs, Tensor) or isinstance(lengths, Tensor):
        raise ArgumentError(
            "ctc_decode with strategy='beam_search' needs numbers: it cannot be compiled.",
            fix="decode what predict() returns, or use strategy='greedy'.",
        )
    return _beam_search(np.asarray(inputs), np.asarray(lengths), beam_width, top_paths, mask_index)


def _greedy(inputs: Any, lengths: Any, merge_repeated: bool, mask_index: int) -> tuple[Any, Any]:
    batch, time, _ = inputs.shape
    best, scores = as_tensor(argmax(inputs, axis=-1), "int32"), max(inputs, axis=-1)
    over = greater_equal(expand_dims(arange(time), 0), expand_dims(lengths, 1))
    best, scores = where(over, mask_index, best), where(over, 0.0, scores)
    if merge_repeated:
        same = equal(best[:, 1:], best[:, :-1])
        best = concatenate([best[:, :1], where(same, mask_index, best[:, 1:])], axis=1)
    silent = equal(best, mask_index)
    order = argsort(where(silent, time, add(zeros((batch, 1), "int32"), arange(time))), axis=-1)
    labels = take_along_axis(where(silent, -1, best), order, axis=-1)
    return expand_dims(labels, 0), multiply(sum(scores, axis=1, keepdims=True), -1.0)


def _beam_search(
    inputs: Any, lengths: Any, beam_width: int, top_paths: int, mask_index: int
) -> tuple[Any, Any]:
    batch, time, _ = inputs.shape
    shifted = inputs - inputs.max(axis=-1, keepdims=True)
    scores = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    labels = np.full((top_paths, batch, time), -1, dtypes.to_numpy("int32"))
    found = np.full((batch, top_paths), -np.inf, inputs.dtype)
    for row in range(batch):
        beams = _beams(scores[row, : int(lengths[row])], beam_width, mask_index)
        for place, (path, score) in enumerate(beams[:top_paths]):
            labels[place, row, : len(path)] = path
            found[row, place] = score
    return as_eager(labels), as_eager(found)


def _beams(scores: Any, width: int, mask_index: int) -> list[tuple[tuple[int, ...], float]]:
    """The most probable label sequences of one row, best first: prefixes, extended step by step.

    Each prefix has two scores: of the alignments that end with its last label, and with silence.
    """
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (-math.inf, 0.0)}
    for step in scores.tolist():
        new: dict[tuple[int, ...], list[float]] = {}
        for path, (heard, silent) in beams.items():
            both = _log_sum(heard, silent)
            for label, score in enumerate(step):
                if label == mask_index:
                    _put(new, path, 1, both + score)
                elif path and label == path[-1]:
                    _put(new, path, 0, heard + score)
                    _put(new, (*path, label), 0, silent + score)
                else:
                    _put(new, (*path, label), 0, both + score)
        ranked = sorted(new.items(), key=lambda entry: -_log_sum(*entry[1]))
        beams = {path: (pair[0], pair[1]) for path, pair in ranked[:width]}
    totals = [(path, _log_sum(*pair)) for path, pair in beams.items()]
    return sorted(totals, key=lambda entry: -entry[1])


def _put(beams: dict[tuple[int, ...], list[float]], path: tuple[int, ...], place: int, score: float) -> None:
    pair = beams.setdefault(path, [-math.inf, -math.inf])
    pair[place] = _log_sum(pair[place], score)


def _log_sum(one: float, other: float) -> float:
    larger, smaller = (one, other) if one >= other else (other, one)
    return larger if smaller == -math.inf else larger + math.log1p(math.exp(smaller - larger))
