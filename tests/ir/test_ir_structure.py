"""The structure key: equal for equal computations, different for different ones."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from lamina.ir import primitives as p
from lamina.ir.bind import constant_value
from lamina.ir.graph import Graph, TensorType
from lamina.ir.structure import structure_key
from lamina.ir.text import parse
from lamina.ir.trace import new_input

TEXT = """
v0 = input("a")             # float32[3]
v1 = input("b")             # float32[3]
v2 = subtract(v0, v1)       # float32[3]
return v2, v0
"""


def test_names_and_identities_of_inputs_do_not_count():
    keys = {structure_key(parse(text)) for text in (TEXT, TEXT, TEXT.replace('"a"', '"kernel"'))}
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("subtract(v0, v1)", "subtract(v1, v0)"),
        ("subtract(v0, v1)", "add(v0, v1)"),
        ("return v2, v0", "return v0, v2"),
        ("return v2, v0", "return v2"),
        ("[3]", "[4]"),
        ("float32", "float64"),
        (
            'v1 = input("b")             # float32[3]',
            'v3 = input("b") # int8[2]\nv1 = input("b")  # float32[3]',
        ),
    ],
)
def test_what_is_computed_counts(old, new):
    assert structure_key(parse(TEXT.replace(old, new))) != structure_key(parse(TEXT))


def test_attributes_and_constants_count():
    x = new_input("x", TensorType((2, 2), "float32"))
    keys = [
        structure_key(Graph((x,), (value,)))
        for value in (
            p.reduce_sum(x, axes=(0,)),
            p.reduce_sum(x, axes=(1,)),
            p.reduce_max(x, axes=(1,)),
            p.cast(x, dtype="float16"),
            p.cast(x, dtype="bfloat16"),
            *(
                constant_value(array)
                for array in (np.zeros(2), -np.zeros(2), np.zeros(2, int), np.zeros((1, 2)))
            ),
        )
    ]
    assert len(set(keys)) == len(keys)


def test_the_key_is_the_same_in_every_process():
    program = (
        "from lamina.ir.text import parse; from lamina.ir.structure import structure_key;"
        f"print(structure_key(parse({TEXT!r})))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == structure_key(parse(TEXT))
