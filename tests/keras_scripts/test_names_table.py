"""The table of names in docs/keras.md is true."""

import names_table
import pytest


def test_the_page_has_the_table_of_now():
    page = names_table.PAGE.read_text(encoding="utf-8")
    assert names_table.written(page) == page, "run python tests/keras_scripts/names_table.py"


def test_the_facts_are_those_of_keras(real_keras):
    """Names that Keras has here, too; newer and older releases may lack a few."""
    lacking = []
    for room, names in names_table.names_by_room().items():
        package = real_keras
        for part in filter(None, room.split(".")):
            package = getattr(package, part, None)
        lacking += [f"{room}.{name}" for name in names if not hasattr(package, name)]
    assert len(lacking) < 50, lacking


@pytest.mark.parametrize("room", ["losses", "metrics", "optimizers", "optimizers.schedules", "constraints"])
def test_rooms_that_are_whole(room):
    missing = [name for name in names_table.names_by_room()[room] if not names_table.exists(f"{room}.{name}")]
    assert set(missing) <= {"CTC", "ctc"}


def test_every_reason_is_given():
    for room, names in names_table.names_by_room().items():
        assert all(names_table.reason(f"{room}.{name}".lstrip(".")) for name in names)
