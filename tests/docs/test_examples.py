"""The examples run and show what they promise."""

from __future__ import annotations

import re
import runpy

import documents

EXAMPLES = documents.ROOT / "examples"


def run(name, capsys):
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def numbers(pattern, text):
    return [float(number) for number in re.findall(pattern, text)]


def test_digits(capsys):
    text = run("digits.py", capsys)
    assert numbers(r"Test accuracy ([\d.]+)", text)[0] > 0.95
    assert len(re.findall(r"^ +\d  ", text, re.MULTILINE)) == 10


def test_fit_a_curve_finds_the_true_numbers(capsys):
    text = run("fit_a_curve.py", capsys)
    found = re.findall(r"(-?[\d.]+) +\(true: ([\d.]+)\)", text)
    assert len(found) == 3
    assert all(abs(float(one) / float(true) - 1) < 0.02 for one, true in found)


def test_gradient_penalty_makes_networks_robust(capsys):
    text = run("gradient_penalty.py", capsys)
    without, with_penalty = numbers(r"with noise ([\d.]+)", text)
    assert with_penalty > without
    assert min(numbers(r"accuracy ([\d.]+),", text)) > 0.95


def test_every_example_is_tested_here():
    tested = documents.ROOT / "tests" / "docs" / "test_examples.py"
    text = tested.read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in text] == []
