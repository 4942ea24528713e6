"""Kernels that take turns, a few images each: which do, what stays in scratch, and that no bit changes."""

import numpy as np
import pytest
from test_cpu_state import compiled, state

from lamina import Variable, ops
from lamina.backends.base import Program
from lamina.backends.cpu import convolve_boxes, convolve_winograd, decompose_again, executable, rows, turns
from lamina.backends.cpu.assemble import Assembler
from lamina.backends.cpu.convolve import ConvolveSpec, DepthwiseOutputPlan, plan_filter, plan_outputs
from lamina.backends.cpu.convolve_filter import plan_direct_filter
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.plan import make_plan, reads_of
from lamina.backends.cpu.target import Target
from lamina.core.config import config
from lamina.function import gradients, trace_program
from lamina.ir import TensorType
from lamina.ir import primitives as p
from lamina.passes import pipeline

IMAGES = 16


@pytest.fixture(autouse=True)
def threads_for_little_work(monkeypatch):
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    monkeypatch.setattr(rows, "SMALL_WORK", 0.0)


def step_of(images=IMAGES):
    """A step of a network with all that takes turns: (program, states, batch)."""
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 4, 16), (3, 3, 16, 1), (1, 1, 16, 32), (3, 3, 32, 8), (8, 3)]
    kernels = [Variable(0.3 * rng.standard_normal(shape).astype("float32")) for shape in shapes]

    def normalized(x):
        mean, variance = ops.moments(x, axes=(0, 1, 2))
        return ops.relu((x - mean) * ops.rsqrt(variance + 1e-3))

    def loss_of(x, y):
        x = normalized(ops.conv(x, kernels[0], padding="same"))
        x = normalized(ops.depthwise_conv(x, kernels[1], padding="same"))
        x = normalized(ops.conv(x, kernels[2]))
        x = ops.max_pool(ops.relu(ops.conv(x, kernels[3], padding="valid")), 2)
        return ops.mean(ops.square(ops.mean(x, axis=(1, 2)) @ kernels[4] - y))

    def step(x, y):
        loss = loss_of(x, y)
        for kernel, gradient in zip(kernels, gradients(loss, kernels)):
            kernel.assign(kernel - 0.05 * gradient)
        return loss

    types = [TensorType((images, 20, 20, 4), "float32"), TensorType((images, 3), "float32")]
    program = trace_program(step, types, name="step").program
    program = program.with_results(pipeline.run(program.graph.outputs))
    batch = tuple(rng.standard_normal(entry.shape).astype("float32") for entry in types)
    return program, tuple(np.array(kernel.numpy()) for kernel in kernels), batch


def rounds_in(program, target="avx512"):
    plan = make_plan(program.with_results(decompose(program.graph.outputs)))
    assembler = Assembler(plan, Target.named(target))
    assembler.assemble()
    return plan, [current for found in assembler.rounds.values() for current in found]


def test_kernels_of_a_network_take_turns():
    plan, found = rounds_in(step_of()[0])
    assert plan.rows.in_turns
    chains = [[call.report.fused[0] for call in current.chain] for current in found if len(current.chain) > 1]
    assert any("conv" in chain and "reduce_sum" in chain for chain in chains)  # ... and its statistics
    assert any("conv_filter_parts" in chain for chain in chains)  # both products of a gradient
    assert any("max_window" in chain for chain in chains)


def test_every_kernel_runs_once_and_after_those_it_reads():
    plan, found = rounds_in(step_of()[0])
    calls = [call for current in found for call in (*current.chain, *current.others)]
    assert {id(call.group) for call in calls} == {id(group) for group in plan.rows.groups}
    assert len(calls) == len(plan.rows.groups)
    for current in found:
        before: set[int] = set()
        together = {id(call.group) for call in (*current.chain, *current.others)}
        for call in current.chain:
            needed = {id(group) for group in call.group.after}
            assert needed & together <= before
            before.add(id(call.group))
        for call in current.others:  # a barrier would be missing
            assert not {id(group) for group in call.group.after} & together


def test_what_nobody_needs_after_a_turn_stays_in_scratch():
    plan, found = rounds_in(step_of()[0])
    assert any(current.passing for current in found)
    for current in found:
        members = {id(call.group) for call in current.chain}
        for value, offset in current.passing.items():
            readers = [
                work
                for phase in (*plan.phases, *plan.commits)
                for work in phase
                if value in reads_of(plan, work)
            ]
            assert readers
            assert {id(work) for work in readers} <= members
            assert offset % turns.LINE == 0
            assert offset + value.size * 4 * current.images // IMAGES <= current.passing_bytes


@pytest.mark.parametrize("images", [8, 12, 16])
def test_turns_change_no_bit(images, monkeypatch):
    program, start, batch = step_of(images)
    order = np.tile(np.arange(images), (4, 1))

    def trained():
        arrays = tuple(array.copy() for array in start)
        done = compiled(program).run_steps(arrays, batch, order)
        assert done.done == len(order)
        return [*arrays, done.outputs[0]]

    monkeypatch.setitem(vars(config), "num_threads", 1)
    monkeypatch.setattr(rows, "FEW_IMAGES", 1 << 30)
    expected = trained()
    monkeypatch.setattr(rows, "FEW_IMAGES", 8)
    for threads in (1, 2, 3):
        monkeypatch.setitem(vars(config), "num_threads", threads)
        for found, other in zip(trained(), expected):
            np.testing.assert_array_equal(found, other)


def test_images_that_see_each_other_do_not_take_turns():
    x, w = state((IMAGES, 6, 6, 4), "x"), state((3, 3, 4, 4), "w")
    how = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    y = p.conv(x, w, **how)
    turned = p.reverse(p.tanh(y), axes=(0,))
    program = Program("turned", (w,), (x,), (p.exp(p.add(turned, y)),))
    plan, found = rounds_in(program)
    assert len(plan.phases) > 1
    assert all(len(current.chain) < 2 for current in found)


def test_where_tasks_are_cut_between_images():
    target = Target.named("avx512")
    spec = ConvolveSpec.contiguous(16, (8, 8), 32, (3, 3), 32, padding=((1, 1), (1, 1)))
    for plan in (
        plan_outputs(spec, target),
        plan_direct_filter(spec, target, 4),
        plan_filter(spec, target, 4),
    ):
        share = turns.share_of(plan)
        assert share.images * plan.tasks == spec.batch * share.tasks
    assert turns.share_of(plan_filter(spec, target, 4)).images == 4
    depthwise = ConvolveSpec.contiguous(16, (8, 8), 32, (3, 3), 32, groups=32)
    assert turns.share_of(DepthwiseOutputPlan(depthwise, target, False)).images == 1
    large = ConvolveSpec.contiguous(16, (8, 8), 512, (3, 3), 512, padding=((1, 1), (1, 1)))
    assert turns.share_of(plan_outputs(large, target)) is None


@pytest.fixture
def activations_made_again(monkeypatch):
    monkeypatch.setattr(convolve_boxes, "TASK_FLOPS", 1 << 12)  # gradients of small kernels in parts, too
    monkeypatch.setattr(decompose_again, "LARGE", 0)


def test_gradients_make_activations_again_just_before_they_read_them(activations_made_again):
    plan, found = rounds_in(step_of()[0])
    made = [group for group in plan.fusion.groups if group.made_again]
    assert len(made) >= 2
    for group in made:
        phase = next(phase for phase in plan.phases if group in phase)
        readers = [reader for reader in plan.fusion.groups if group in reader.after]
        assert any(reader in phase for reader in readers)
        (value,) = [value for value in group.values if value in plan.targets]
        assert any(value in current.passing for current in found)


def test_convolutions_by_winograds_transforms_leave_it_to_gradients_as_well(
    activations_made_again, monkeypatch
):
    def made_again(gain):
        monkeypatch.setattr(convolve_winograd, "GAIN", gain)
        return sum(group.made_again for group in rounds_in(step_of()[0])[0].fusion.groups)

    assert made_again(gain=0.0) == made_again(gain=1e9) >= 3


def test_what_is_made_again_has_the_same_bits(activations_made_again, monkeypatch):
    program, start, batch = step_of()
    order = np.tile(np.arange(IMAGES), (3, 1))
    results = []
    for least in (0, 1 << 60):
        monkeypatch.setattr(decompose_again, "LARGE", least)
        arrays = tuple(array.copy() for array in start)
        assert compiled(program).run_steps(arrays, batch, order).done == len(order)
        results.append(arrays)
    for found, other in zip(*results):
        np.testing.assert_array_equal(found, other)


def test_activations_that_others_read_are_kept(activations_made_again):
    kernel = Variable(np.ones((3, 3, 4, 4), "float32"))

    def step(x):
        y = ops.conv(x, kernel, padding="same")
        z = ops.relu(y - ops.mean(y, axis=(0, 1, 2)))
        loss = ops.mean(ops.conv(z, kernel, padding="same")) + ops.mean(ops.exp(z))
        kernel.assign(kernel - gradients(loss, [kernel])[0])
        return loss

    program = trace_program(step, [TensorType((IMAGES, 20, 20, 4), "float32")]).program
    assert not any(group.made_again for group in rounds_in(program)[0].fusion.groups)
