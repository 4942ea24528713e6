"""Work that is done again instead of stored, and updates that are written in several phases of the commit."""

import ctypes

import numpy as np
import pytest

import lamina
from lamina import layers, optimizers
from lamina.backends.cpu import jit, repeat
from lamina.backends.cpu import plan as planning
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.emit import Module
from lamina.backends.cpu.fuse import KEPT
from lamina.backends.cpu.lower import lower
from lamina.backends.cpu.nest import Axis, Load, Nest, Place, Statement, Store
from lamina.backends.cpu.target import Target
from lamina.core.config import config
from lamina.function import trace_program
from lamina.ir import primitives as p
from lamina.ir.graph import TensorType
from lamina.ir.trace import new_input
from lamina.passes import pipeline
from lamina.variables import Variable


@pytest.fixture
def everything_is_large(monkeypatch, tmp_path):
    """Small tensors are treated like those that no cache holds; with a cache of code of its own."""
    monkeypatch.setattr(repeat, "LARGE", 1)
    monkeypatch.setattr(planning, "LARGE_UPDATE", 1)
    monkeypatch.setitem(vars(config), "cache_dir", tmp_path)


def planned(optimizer, shape):
    """The plan of one update of a matrix."""
    weight = Variable(np.ones(shape, np.float32), name="weight")
    optimizer.build([weight])

    def update(slope):
        optimizer.apply([slope], [weight])
        return np.float32(0)

    program = trace_program(update, [TensorType(shape, "float32")]).program
    program = program.with_results(pipeline.run(program.graph.outputs))
    return planning.make_plan(program.with_results(decompose(program.graph.outputs)))


@pytest.mark.parametrize("make", [optimizers.Lamb, optimizers.Adafactor, optimizers.Adam])
def test_nothing_as_large_as_the_weights_is_stored_but_state(make):
    shape = (1100, 1000)
    plan = planned(make(), shape)
    large = [memory for targets in plan.targets.values() for memory in targets if memory.size >= 1100 * 1000]
    assert set(large) <= set(plan.program.states)
    assert plan.arena_bytes < 4 * 1100 * 1000 / 16


def test_state_whose_new_value_is_read_is_written_in_an_earlier_phase_of_the_commit():
    plan = planned(optimizers.Lamb(), (1100, 1000))
    first, *_, last = plan.commits
    states = set(plan.program.states)

    def written(phase):
        return {memory for work in phase for _, memory in planning.writes_of(plan, work)} & states

    momenta = written(first)
    assert len([memory for memory in momenta if memory.size == 1100 * 1000]) == 2
    assert not momenta & written(last)


def test_a_nest_that_only_keeps_goes_over_all_its_points(rng):
    """Values at the rows of a domain whose inner axis nobody walks along: more rows than one vector has."""
    count = 1000
    source, target = (new_input(name, TensorType((count,), "float32")) for name in ("source", "target"))
    value, place = p.negative(source), Place(0, (1, 0))
    statement = Statement(value, p.negative, (Load(source, place, "float32"),), KEPT, 0)
    nest = Nest((Axis(count, False), Axis(10, True)), [statement], [Store(value, target, place)])
    host = Target.host()
    module = Module(host.function_attributes)
    kernel = lower(module, "kernel", nest, host)
    code = jit.load(jit.compile_object(module.text(), host))
    arrays = {source: rng.normal(size=count).astype("float32"), target: np.zeros(count, "float32")}
    flag = np.zeros(8, "int64")
    pointers = [arrays[root].ctypes.data for root in kernel.buffers]
    run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 2)(code.address("kernel"))
    run(*pointers, flag.ctypes.data, 0, kernel.tasks)
    np.testing.assert_array_equal(arrays[target], -arrays[source])


def trained(backend, optimizer, labels="int64"):
    rng = np.random.default_rng(5)
    lamina.utils.set_random_seed(1)
    x, y = rng.random((96, 7, 4)).astype("float32"), rng.integers(0, 5, 96).astype(labels)
    model = lamina.Sequential(
        [layers.Input((7, 4)), layers.Flatten(), layers.Dense(33, "gelu"), layers.BatchNormalization(),
         layers.Dense(5, "softmax")]
    )  # fmt: skip
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], backend=backend)
    history = model.fit(x, y, batch_size=48, epochs=3, shuffle=False, verbose=0).history
    return history["loss"], model.get_weights()


OPTIMIZERS = {
    "lamb": lambda: optimizers.Lamb(0.01),
    "adafactor": lambda: optimizers.Adafactor(0.01),
    "adam": lambda: optimizers.Adam(0.01, global_clipnorm=0.1, weight_decay=0.01),
    "muon": lambda: optimizers.Muon(0.01),
    "averages": lambda: optimizers.RMSprop(0.01, clipnorm=0.1, use_ema=True, ema_overwrite_frequency=2),
    "accumulating": lambda: optimizers.Lamb(0.01, gradient_accumulation_steps=2),
}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.usefixtures("everything_is_large")
def test_chains_repeated_in_a_whole_training_change_nothing(name):
    found, expected = (trained(backend, OPTIMIZERS[name]()) for backend in ("cpu", "reference"))
    np.testing.assert_allclose(found[0], expected[0], rtol=2e-4)
    for ours, theirs in zip(found[1], expected[1]):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


@pytest.mark.usefixtures("everything_is_large")
def test_bytes_as_labels_of_loss_and_metric(rng):
    found, expected = (trained(backend, "adam", "uint8")[0] for backend in ("cpu", "reference"))
    np.testing.assert_allclose(found, expected, rtol=2e-4)


@pytest.mark.parametrize("make", [optimizers.Lamb, optimizers.Adafactor])
def test_matrices_that_no_cache_holds_are_updated_as_by_the_reference(make, rng):
    shape = (1100, 1000)
    start, slopes = rng.normal(size=shape), rng.normal(size=(2, *shape)).astype("float32")
    results = [updated(backend, make(0.1), start, slopes) for backend in ("cpu", "reference")]
    for found, expected in zip(*results):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def updated(backend, optimizer, start, slopes):
    """The weights and the optimizer's state after an update for each of the slopes."""
    weight = Variable(start.astype("float32"), name="weight")
    optimizer.build([weight])

    @lamina.function(backend=backend)
    def update(slope):
        optimizer.apply([slope], [weight])
        return np.float32(0)

    for slope in slopes:
        update(slope)
    return [weight.numpy(), *(variable.numpy() for variable in optimizer.variables)]
