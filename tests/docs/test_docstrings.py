"""Examples in docstrings give what they show."""

from __future__ import annotations

import doctest
import importlib
import io
import pkgutil
from fnmatch import fnmatch

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.core.config import config

ROOMS = sorted(module.name for module in pkgutil.iter_modules(lamina.__path__))
# What speaks of files, networks or data of the reader's.
ILLUSTRATIONS = {
    *("lamina.datasets.*", "lamina.utils.downloads.get_file", "lamina.utils.images.load_img"),
    *("lamina.grad.reverse.gradients", "lamina.grad.sums.total", "lamina.ir.constants.splat"),
    *("lamina.models.generation.generate", "lamina.wrappers.scikit_learn.SKLearnClassifier"),
}


def examples_of(room):
    """The docstrings of a room that show results."""
    names = [f"lamina.{room}"]
    package = importlib.import_module(names[0])
    for found in pkgutil.walk_packages(getattr(package, "__path__", []), f"{names[0]}."):
        names.append(found.name)
    finder = doctest.DocTestFinder()
    for name in names:
        for test in finder.find(importlib.import_module(name), name):
            if any(example.want for example in test.examples):
                yield test


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Files are written elsewhere; settings are put back."""
    monkeypatch.chdir(tmp_path)
    before = {name: getattr(config, name) for name in vars(config)}
    yield
    for name, value in before.items():
        setattr(config, name, value)


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "__main__"])
def test_examples_show_what_they_give(room):
    wrong = []
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for test in examples_of(room):
        if any(fnmatch(test.name, pattern) for pattern in ILLUSTRATIONS):
            continue
        lamina.utils.clear_session()
        lamina.utils.set_random_seed(1)
        public = vars(importlib.import_module(f"lamina.{room}"))
        test.globs = {"np": np, "lamina": lamina, "layers": layers, "ops": ops, **public, **test.globs}
        report = io.StringIO()
        if doctest.DocTestRunner(optionflags=options).run(test, out=report.write).failed:
            wrong.append(report.getvalue())
    assert not wrong, "\n".join(wrong)
