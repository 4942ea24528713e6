"""Attention in native code: against the reference, through scattered operands, for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import ops
from lamina.backends.cpu import executable
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.plan import make_plan
from lamina.core.config import config
from lamina.function import compile_program, gradients, trace_program
from lamina.ir import TensorType
from lamina.ir import primitives as p
from lamina.passes import pipeline

# batch, queries, keys, heads, groups, features
SHAPES = [(2, 33, 70, 4, 2, 8), (1, 64, 64, 2, 2, 32), (2, 17, 130, 1, 1, 20)]


def loss_and_gradients(streams, causal, masked):
    def function(query, key, value, mask):
        mixed = ops.dot_product_attention(
            query, key, value, mask=mask if masked else None, is_causal=causal, flash_attention=streams
        )
        loss = ops.sum(ops.sin(mixed))
        return [mixed, *gradients(loss, [query, key, value])]

    return function


def types(batch, target, source, heads, groups, size):
    floats = [(batch, target, heads, size), *[(batch, source, groups, size)] * 2]
    return [*(TensorType(shape, "float32") for shape in floats), TensorType((batch, 1, 1, source), "bool")]


def arrays_of(kinds, rng):
    arrays = [rng.normal(0, 1, kind.shape).astype("float32") for kind in kinds[:3]]
    return [*arrays, rng.random(kinds[3].shape) > 0.3]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("causal", "masked"), [(False, False), (True, False), (True, True)])
def test_streaming_gives_the_numbers_of_the_whole_matrix(shape, causal, masked, rng):
    kinds = types(*shape)
    arrays = arrays_of(kinds, rng)
    results = []
    for streams, backend in ((True, "cpu"), (True, "reference"), (False, "reference")):
        program = trace_program(loss_and_gradients(streams, causal, masked), kinds).program
        results.append(compile_program(program, backend).run((), arrays)[0])
    for found, other, expected in zip(*results, strict=True):
        np.testing.assert_allclose(other, expected, rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_any_number_of_threads_gives_the_same_bits(rng, monkeypatch):
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    kinds = types(2, 50, 90, 4, 2, 16)
    arrays = arrays_of(kinds, rng)
    program = trace_program(loss_and_gradients(True, True, True), kinds).program
    one = None
    for threads in (1, 2, 3):
        monkeypatch.setitem(vars(config), "num_threads", threads)
        run = compile_program(program, "cpu")
        assert run.report.threads == threads
        found = [array.copy() for array in run.run((), arrays)[0]]
        one = one or found
        for array, expected in zip(found, one, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_dropped_weights_are_those_of_the_whole_matrix(rng):
    """The same random bits drop the same weights, forward and backward, whichever way is taken."""
    x = rng.normal(0, 1, (2, 40, 16)).astype("float32")
    results = []
    for streams in (None, False):
        lamina.utils.set_random_seed(1)
        layer = lamina.layers.MultiHeadAttention(2, 8, dropout=0.4, flash_attention=streams, seed=3)
        layer(x, x)

        @lamina.function
        def run(x, layer=layer):
            outputs = layer(x, x, use_causal_mask=True, training=True)
            return [outputs, *gradients(ops.sum(ops.sin(outputs)), layer.trainable_variables)]

        results.append([*run(x), *run(x)])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    assert not np.array_equal(results[0][0], results[0][len(results[0]) // 2])


def test_parts_of_one_projection_are_read_where_they_lie(rng):
    """Queries, keys and values side by side in one tensor need no copies."""

    def function(x):
        parts = ops.split(ops.reshape(x, (2, 40, 3, 2, 16)), 3, axis=2)
        return ops.dot_product_attention(*(ops.squeeze(part, 2) for part in parts), flash_attention=True)

    kinds = [TensorType((2, 40, 96), "float32")]
    program = trace_program(function, kinds).program
    made = decompose(pipeline.run(program.graph.outputs))
    assert not any(node.primitive is p.stop_gradient for node in program.with_results(made).graph.nodes())
    x = rng.normal(0, 1, (2, 40, 96)).astype("float32")
    expected = compile_program(program, "reference").run((), [x])[0][0]
    np.testing.assert_allclose(
        compile_program(program, "cpu").run((), [x])[0][0], expected, rtol=2e-5, atol=2e-6
    )


def test_the_matrix_of_scores_is_never_there():
    length, heads = 512, 4
    kinds = types(1, length, length, heads, heads, 16)
    memory = {}
    for streams in (True, False, None):
        program = trace_program(loss_and_gradients(streams, True, False), kinds).program
        optimized = program.with_results(pipeline.run(program.graph.outputs))
        memory[streams] = make_plan(optimized.with_results(decompose(optimized.graph.outputs))).arena_bytes
    scores = heads * length * length * 4
    assert memory[True] == memory[None] < scores / 4 < scores <= memory[False]


def test_streaming_can_be_switched_off():
    kinds = types(1, 32, 32, 1, 1, 8)

    def streams(flash_attention):
        program = trace_program(loss_and_gradients(flash_attention, False, False), kinds).program
        return any(node.primitive is p.attention for node in program.graph.nodes())

    assert lamina.config.is_flash_attention_enabled()
    lamina.config.disable_flash_attention()
    try:
        assert [streams(choice) for choice in (None, True, False)] == [False, True, False]
    finally:
        lamina.config.enable_flash_attention()
    assert streams(None)


def test_nothing_is_learnt_from_numbers_that_are_none(rng):
    """One key that is no number spoils the rows that look at it, and no others."""
    kinds = types(1, 40, 40, 1, 1, 8)
    arrays = arrays_of(kinds, rng)
    arrays[1][0, 20] = np.nan
    program = trace_program(loss_and_gradients(True, True, False), kinds).program
    mixed = compile_program(program, "cpu").run((), arrays)[0][0]
    assert np.isfinite(mixed[0, :20]).all()
    assert np.isnan(mixed[0, 20:]).all()
