"""Every program of the table ends in an error that a person can act on."""

import re

import pytest
from table import ROWS

from lamina.core.config import config
from lamina.random import set_random_seed

BACKENDS = ("reference", "cpu")


@pytest.fixture(params=BACKENDS)
def backend(request):
    before = config.backend
    config.backend = request.param
    set_random_seed(5)
    yield request.param
    config.backend = before


_texts = {}


@pytest.mark.parametrize("name", ROWS)
def test_wrong_programs_say_what_is_wrong(name, backend):
    program, fragments = ROWS[name]
    with pytest.raises((ValueError, TypeError, ArithmeticError, RuntimeError, UserWarning)) as caught:
        program()
    text = str(caught.value)
    notes = getattr(caught.value, "__notes__", [])
    assert 1 <= len("\n".join([text, *notes]).splitlines()) <= 8, text
    for fragment in fragments:
        assert fragment in "\n".join([text, *notes]), text
    # One text on every backend, but for the numbers that names of layers count upwards with.
    text = re.sub(r"_\d+\b", "", f"{type(caught.value).__name__}: {text}")
    assert _texts.setdefault(name, text) == text


def test_the_table_is_long_enough():
    assert len(ROWS) >= 60
