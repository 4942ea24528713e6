"""Random programs, native against reference."""

from hypothesis import HealthCheck, given, settings
from random_programs import assert_agrees, programs

from lamina.backends.base import Program
from lamina.backends.cpu import CpuBackend
from lamina.ir.structure import structure_key


def native(graph, arrays):
    program = Program("random", (), graph.inputs, graph.outputs)
    outputs, finite = CpuBackend().compile(program, structure_key(graph)).run((), arrays)
    assert finite
    return outputs


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_a_random_program_computes_what_the_reference_computes(program):
    graph, arrays = program
    assert_agrees(graph, arrays, native(graph, arrays))
