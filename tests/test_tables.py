"""One concern is one table, and every table knows every primitive, in the same order."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from random_programs import GROW, assert_agrees, programs

from lamina.backends.base import Program
from lamina.backends.cpu import math
from lamina.backends.registry import BACKENDS, choose
from lamina.grad.rules import NOT_DIFFERENTIABLE
from lamina.grad.rules import RULES as GRADIENTS
from lamina.interp.rules import RULES as INTERPRETER
from lamina.ir import primitives as p
from lamina.ir.primitives import CREATES, ELEMENTWISE, TABLE, VARIADIC
from lamina.ir.structure import structure_key
from lamina.passes import pipeline

ALL = list(TABLE.values())


def test_names_are_those_of_the_rows():
    assert all(getattr(p, name) is primitive and primitive.name == name for name, primitive in TABLE.items())


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param(INTERPRETER, [each for each in ALL if each is not p.input], id="interpreter"),
        pytest.param(GRADIENTS, [each for each in ALL if each not in NOT_DIFFERENTIABLE], id="gradients"),
        pytest.param(pipeline.LAWS, ALL, id="laws of the passes"),
        pytest.param(
            math.TABLE, [each for each in ALL if each.has(ELEMENTWISE) and each is not p.cast], id="cpu math"
        ),
    ],
)
def test_tables_are_total_and_in_order(table, expected):
    assert [primitive.name for primitive in table] == [primitive.name for primitive in expected]


def test_what_is_not_differentiable_is_said_once():
    assert not NOT_DIFFERENTIABLE & GRADIENTS.keys()
    assert set(ALL) == NOT_DIFFERENTIABLE | GRADIENTS.keys()
    assert {primitive for primitive in ALL if primitive.has(CREATES)} <= NOT_DIFFERENTIABLE


def test_there_is_a_gradient_rule_for_each_operand():
    wrong = [
        primitive.name
        for primitive, rules in GRADIENTS.items()
        if primitive.arity != VARIADIC and len(rules) != primitive.arity
    ]
    assert not wrong


def test_random_programs_can_contain_everything():
    assert set(GROW) == set(ALL)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("primitive", ALL, ids=lambda primitive: primitive.name)
def test_every_backend_runs_every_primitive(backend, primitive):
    """The smallest program that contains it."""
    program = find(
        programs(max_nodes=4, primitives=(primitive,)),
        lambda found: any(node.primitive is primitive for node in found.graph.nodes()),
        settings=settings(
            database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        ),
    )
    executable = choose(backend)[0].compile(
        Program(primitive.name, (), program.graph.inputs, program.graph.outputs), structure_key(program.graph)
    )
    outputs, _ = executable.run((), program.arrays)
    assert_agrees(program.graph, program.arrays, outputs)
