"""Pooling in native code: what it is fused with, what is in memory, and how large windows are walked."""

import re

import numpy as np
import pytest
from test_cpu_fusion import groups, listing, names, value

from lamina.backends.base import Program
from lamina.backends.cpu import CpuBackend, pooling
from lamina.backends.cpu.assemble import Assembler
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.fuse import NEST
from lamina.backends.cpu.plan import make_plan
from lamina.backends.cpu.target import Target
from lamina.backends.reference import ReferenceBackend
from lamina.core.config import config
from lamina.grad.reverse import gradients
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.structure import structure_key


def window(size, stride=None, padding=0, dilation=1, rank=2):
    return {
        "sizes": (size,) * rank,
        "strides": (stride or size,) * rank,
        "padding": ((padding, padding),) * rank,
        "dilation": (dilation,) * rank,
    }


def relu(x):
    return p.maximum(x, full(x.shape, 0.0, "float32"))


# --- fusion ----------------------------------------------------------------------------------------


def test_a_maximum_and_its_place_are_one_kernel():
    (only,) = groups(*p.max_window(value(4, 8, 8, 16), **window(2)))
    assert only.kind == NEST
    assert names(only) == ["max_window", "max_window"]


def test_a_place_that_nobody_wants_is_not_computed():
    x = value(4, 8, 8, 16)
    (only,) = groups(p.max_window(x, **window(2))[0])
    assert names(only) == ["max_window"]
    (only,) = groups(p.max_window(x, **window(2))[1])
    assert names(only) == ["max_window"]


def test_pooling_is_fused_with_what_follows():
    maximum = p.max_window(value(4, 8, 8, 16), **window(2))[0]
    average = p.sum_window(value(4, 9, 9, 16), **window(3))
    for pooled in (maximum, average):
        (only,) = groups(p.multiply(relu(pooled), full(pooled.shape, 0.5, "float32")))
        assert len(only.values) == 3


def test_the_derivative_of_relu_is_taken_where_a_gradient_comes_back():
    x = value(4, 9, 9, 16)
    y = relu(x)
    sent = gradients(p.sum_window(y, **window(3, 2)), [x], seed=value(4, 4, 4, 16))
    found = groups(*sent)
    assert [sorted(names(group)) for group in found] == [["greater", "maximum", "select", "spread_window"]]


def test_nothing_but_operands_and_results_is_in_memory():
    x, y = value(4, 9, 9, 16), value(4, 9, 9, 16)
    maximum, index = p.max_window(x, **window(3, 1, 1))
    results = (maximum, p.scatter_window(y, index, shape=(9, 9), **window(3, 1, 1)))
    plan = make_plan(Program("pool", (), (x, y), results))
    assert plan.arena_bytes == 4 * 9 * 9 * 16  # the index, a byte each


def depthwise(x, kernel, stride=1, padding=1, dilation=1):
    how = {name: value for name, value in window(1, stride, padding, dilation).items() if name != "sizes"}
    return p.conv(x, kernel, groups=x.shape[-1], **how)


def test_a_large_convolution_of_each_channel_is_fused_with_what_follows():
    x, kernel, bias = value(4, 9, 9, 16), value(9, 9, 1, 16), value(16)
    y = depthwise(x, kernel, padding=4)
    (only,) = groups(relu(p.add(y, p.broadcast(bias, shape=y.shape, axes=(3,)))))
    assert only.kind == NEST
    assert names(only) == ["weigh_window", "add", "maximum"]


@pytest.mark.parametrize(
    ("size", "stride", "padding", "dilation"), [(3, 1, 1, 1), (3, 2, 0, 1), (2, 1, 2, 3), (9, 2, 4, 1)]
)
def test_a_convolution_of_each_channel_and_its_gradients(size, stride, padding, dilation, rng):
    x, kernel = value(3, 13, 12, 33), value(size, size, 1, 33)
    y = depthwise(x, kernel, stride, padding, dilation)
    loss = p.reduce_sum(p.multiply(y, y), axes=(0, 1, 2, 3))
    program = Program("depthwise", (), (x, kernel), (y, *gradients(loss, [x, kernel])))
    assert agrees(program, rng, tolerance=1e-4)  # sums of some hundred products


# --- code ------------------------------------------------------------------------------------------

POOLS = {
    "max": lambda x: p.max_window(x, **window(3, 2, 1)),
    "sum": lambda x: (p.sum_window(x, **window(3, 1, 1)),),
    "dilated": lambda x: (p.sum_window(x, **window(2, 1, 1, 3)),),
    "large": lambda x: (*p.max_window(x, **window(11, 3, 5)), p.sum_window(x, **window(9, 2, 4))),
    "back": lambda x: (
        p.scatter_window(x, p.max_window(x, **window(3, 1, 1))[1], shape=(13, 13), **window(3, 1, 1)),
        p.spread_window(x, shape=(25, 25), **window(3, 2, 1)),
        p.spread_window(x, shape=(23, 23), **window(11, 1, 0)),
        p.spread_window(x, shape=(16, 16), **window(2, 1, 0, 3)),
    ),
}


def program_of(name, channels=33):
    x = value(3, 13, 13, channels)
    return Program(name, (), (x,), tuple(POOLS[name](x)))


@pytest.mark.parametrize("level", ["avx512", "avx2", "sse2", "aarch64"])
@pytest.mark.parametrize("name", list(POOLS))
def test_kernels_call_nothing_and_use_the_whole_vector(name, level):
    text = listing(program_of(name), level)
    called = set(re.findall(r"^\s+(?:callq?|bl)\s+(\S+)", text, re.MULTILINE))
    assert {
        each for each in called if not re.fullmatch(r"k\d+|barrier|claim|fetch_rows|\.?L?k\d+|\*.*", each)
    } == set()
    assert re.search({"avx512": "%zmm", "avx2": "%ymm", "sse2": "%xmm", "aarch64": r"v\d+\.4s"}[level], text)


def agrees(program, rng, key="", tolerance=1e-5):
    """Whether native code and the reference give the same."""
    arrays = [rng.standard_normal(entry.shape).astype("float32") for entry in program.inputs]
    native, reference = (
        backend.compile(program, structure_key(program.graph) + key).run((), arrays)[0]
        for backend in (CpuBackend(), ReferenceBackend())
    )
    return all(
        np.allclose(*pair, rtol=tolerance, atol=tolerance) for pair in zip(native, reference, strict=True)
    )


@pytest.mark.parametrize("level", ["avx2", "sse2", "generic"])
@pytest.mark.parametrize("name", list(POOLS))
def test_narrow_vectors_compute_the_same(name, level, monkeypatch, rng):
    monkeypatch.setitem(vars(config), "cpu_features", level)
    assert agrees(program_of(name), rng)


@pytest.mark.parametrize("channels", [1, 2, 16, 65])
def test_any_number_of_channels(channels, rng):
    for name in POOLS:
        assert agrees(program_of(name, channels), rng)


def test_places_that_look_at_everything(rng):
    """One place along each axis, which the nest then does not have."""
    x = value(5, 6, 7, 17)
    whole = {"sizes": (6, 7), "strides": (1, 1), "padding": ((0, 0),) * 2, "dilation": (1, 1)}
    maximum, index = p.max_window(x, **whole)
    back = p.scatter_window(maximum, index, shape=(6, 7), **whole)
    assert agrees(Program("whole", (), (x,), (maximum, index, back)), rng)


def test_sums_after_pooling(rng):
    """A reduction over the places is in the kernel, with the channels in its vectors."""
    x = value(20, 8, 8, 16)
    pooled = p.max_window(x, **window(2))[0]
    program = Program(
        "sums", (), (x,), (p.reduce_sum(pooled, axes=(1, 2)), p.reduce_sum(pooled, axes=(0, 1, 2)))
    )
    assert agrees(program, rng)


def test_large_windows_are_loops():
    def lines(size):
        x = value(2, 64, 64, 16)
        program = Program("large", (), (x,), p.max_window(x, **window(size, 1, size // 2)))
        plan = make_plan(program.with_results(decompose(program.graph.outputs)))
        return len(Assembler(plan, Target.named("avx2")).assemble().module.text().splitlines())

    assert lines(63) <= lines(9)
    assert lines(63) < 1000


def test_a_wrong_edge_is_noticed(rng, monkeypatch, tmp_path):
    monkeypatch.setitem(vars(config), "cache_dir", tmp_path)
    assert agrees(program_of("max"), rng)
    monkeypatch.setattr(pooling._Walk, "inside", lambda walk, taps: None)
    assert not agrees(program_of("max"), rng, "broken")
