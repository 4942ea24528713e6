"""What the fusion promises: which work shares a kernel, and what the generated code looks like."""

import re

import numpy as np
import pytest

from lamina.backends.base import Program
from lamina.backends.cpu import jit
from lamina.backends.cpu.assemble import Assembler
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.fuse import CONTRACT, NEST, fuse
from lamina.backends.cpu.plan import make_plan
from lamina.backends.cpu.target import Target
from lamina.grad.reverse import gradients
from lamina.ir import primitives as p
from lamina.ir.bind import full, iota_value
from lamina.ir.graph import TensorType
from lamina.ir.trace import new_input
from lamina.passes import pipeline


def value(*shape, dtype="float32"):
    return new_input("value", TensorType(shape, dtype))


def product(x, y):
    return p.dot(x, y, contract=((1,), (0,)), batch=((), ()))


def rows(x, like):
    return p.broadcast(x, shape=like.shape, axes=(0,))


def names(group):
    return [entry.primitive.name for entry in group.values]


def groups(*results):
    return fuse(decompose(pipeline.run(results))).groups


def softmax_loss(logits, labels):
    """Mean cross-entropy as `lamina.losses` traces it."""
    shifted = p.subtract(logits, rows(p.stop_gradient(p.reduce_max(logits, axes=(1,))), logits))
    total = p.log(p.reduce_sum(p.exp(shifted), axes=(1,)))
    here = p.equal(iota_value(logits.shape, 1, "int32"), rows(labels, logits))
    picked = p.reduce_sum(p.select(here, shifted, full(logits.shape, 0.0, "float32")), axes=(1,))
    return p.reduce_sum(p.subtract(total, picked), axes=(0,))


def test_softmax_is_one_kernel():
    x = value(64, 100)
    shifted = p.exp(p.subtract(x, rows(p.reduce_max(x, axes=(1,)), x)))
    (only,) = groups(p.divide(shifted, rows(p.reduce_sum(shifted, axes=(1,)), x)))
    assert only.kind == NEST
    assert only.inner == (1,)


def test_crossentropy_its_gradient_and_the_accuracy_share_one_pass_over_the_rows():
    logits, labels = value(128, 10), value(128, dtype="int32")
    loss = softmax_loss(logits, labels)
    (slope,) = gradients(loss, [logits])
    right = p.cast(p.equal(p.argmax(logits, axis=1), labels), dtype="float32")
    found = groups(loss, slope, p.reduce_sum(right, axes=(0,)))
    over_rows = [group for group in found if group.domain == (128, 10)]
    assert len(over_rows) == 1
    assert all(group.domain == (128,) for group in found if group not in over_rows)


def test_bias_and_activation_are_the_epilogue_of_a_product():
    x, w, b = value(32, 20), value(20, 64), value(64)
    out = p.add(product(x, w), p.broadcast(b, shape=(32, 64), axes=(1,)))
    (only,) = groups(p.maximum(out, full(out.shape, 0.0, "float32")))
    assert only.kind == CONTRACT
    assert names(only) == ["dot", "add", "maximum"]


def test_the_mask_of_a_relu_is_not_stored():
    x, w, v = value(32, 20), value(20, 64), value(64, 7)
    hidden = product(x, w)
    hidden = p.maximum(hidden, full(hidden.shape, 0.0, "float32"))
    loss = p.reduce_sum(product(hidden, v), axes=(0, 1))
    fusion = fuse(decompose(pipeline.run(tuple(gradients(loss, [w, v])))))
    assert not [entry for entry in fusion.stored() if entry.dtype == "bool"]


def adam_program():
    weight, m, v, slope = (value(40, 30) for _ in range(4))
    rate = value()

    def scaled(x, factor):
        return p.multiply(x, full(x.shape, factor, "float32"))

    new_m = p.add(m, scaled(p.subtract(slope, m), 0.1))
    new_v = p.add(v, scaled(p.subtract(p.multiply(slope, slope), v), 0.001))
    below = p.add(p.sqrt(new_v), full(v.shape, 1e-7, "float32"))
    step = p.divide(p.multiply(new_m, p.broadcast(rate, shape=m.shape, axes=())), below)
    updates = ((0, p.subtract(weight, step)), (1, new_m), (2, new_v))
    return Program("adam", (weight, m, v), (slope, rate), (), updates)


def test_what_only_reductions_read_is_not_stored_beside_what_it_is_made_from():
    x, weights, other = value(64, 32), value(32, 48), value(64, 48)
    y = p.exp(product(x, weights))
    found = groups(y, p.reduce_sum(p.multiply(y, other), axes=(0,)))
    (head,) = [group for group in found if group.kind == CONTRACT]
    assert names(head) == ["dot", "exp"]


def test_a_guard_that_others_depend_on_belongs_to_the_step():
    x, weights = value(64, 32), value(32, 48)
    total = p.reduce_sum(x, axes=(0,))
    centred = p.subtract(x, p.broadcast(total, shape=(64, 32), axes=(1,)))
    second = product(centred, weights)
    update = p.add(second, second)
    fusion = fuse([update], [total, second])
    assert fusion.home[total].late is fusion.home[second].late is False
    assert fusion.home[update].late is True


def test_adam_is_one_pass_that_writes_its_state_in_place():
    plan = make_plan(adam_program())
    assert plan.phases == []
    ((only,),) = plan.commits
    assert {target for targets in plan.targets.values() for (target,) in [targets]} == set(
        plan.program.states
    )
    assert plan.arena_bytes == 0
    assert len(only.values) > 5


def test_equal_kernels_are_emitted_once():
    x, y = value(300), value(300)
    program = Program("twice", (), (x, y), (p.tanh(x), p.tanh(y)))
    assembly = Assembler(make_plan(program), Target.host()).assemble()
    assert [report.shared_with is None for report in assembly.reports] == [True, False]


def listing(program, level):
    plan = make_plan(program.with_results(decompose(program.graph.outputs)))
    target = Target.named(level)
    return jit.assembly(Assembler(plan, target).assemble().module.text(), target)


WORK = {
    "adam": adam_program,
    "softmax": lambda: _softmax_program(),
    "crossentropy": lambda: _crossentropy_program(),
}


def _softmax_program():
    x = value(64, 100)
    shifted = p.exp(p.subtract(x, rows(p.reduce_max(x, axes=(1,)), x)))
    return Program("softmax", (), (x,), (p.divide(shifted, rows(p.reduce_sum(shifted, axes=(1,)), x)),))


def _crossentropy_program():
    logits, labels = value(128, 10), value(128, dtype="int32")
    loss = softmax_loss(logits, labels)
    return Program("loss", (), (logits, labels), (loss, *gradients(loss, [logits])))


@pytest.mark.parametrize("level", ["avx512", "avx2", "sse2", "aarch64"])
@pytest.mark.parametrize("work", list(WORK))
def test_kernels_call_nothing_and_use_the_whole_vector(work, level):
    text = listing(WORK[work](), level)
    called = set(re.findall(r"^\s+(?:callq?|bl)\s+(\S+)", text, re.MULTILINE))
    # The loop of steps calls kernels and the barrier; the barrier calls through its record.
    assert {
        name for name in called if not re.fullmatch(r"k\d+|barrier|claim|fetch_rows|\.?L?k\d+|\*.*", name)
    } == set()
    register = {"avx512": "%zmm", "avx2": "%ymm", "sse2": "%xmm", "aarch64": r"v\d+\.4s"}[level]
    assert re.search(register, text)


@pytest.mark.parametrize("level", ["avx2", "sse2", "generic"])
@pytest.mark.parametrize("work", list(WORK))
def test_narrow_vectors_compute_the_same(work, level, monkeypatch, rng):
    from lamina.backends.cpu import CpuBackend
    from lamina.backends.reference import ReferenceBackend
    from lamina.core.config import config

    program = WORK[work]()
    arrays = [
        rng.integers(0, 10, entry.shape).astype("int32")
        if entry.dtype == "int32"
        else rng.random(entry.shape).astype("float32")
        for entry in program.graph.inputs
    ]
    monkeypatch.setitem(vars(config), "cpu_features", level)
    results = []
    for backend in (CpuBackend(), ReferenceBackend()):
        states = tuple(array.copy() for array in arrays[: len(program.states)])
        run = backend.compile(program, f"{work} {level}")
        outputs, _ = run.run(states, arrays[len(program.states) :])
        results.append([*outputs, *states])
    for found, expected in zip(*results):
        np.testing.assert_allclose(found, expected, rtol=3e-5, atol=1e-6)
