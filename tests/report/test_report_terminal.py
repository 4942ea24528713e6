"""Confusion matrices and pictures made of characters."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from lamina.core.errors import ArgumentError, ShapeError
from lamina.report import confusion_matrix, confusion_table, has_colours, picture

IMAGE = np.array([[0, 8], [16, 4]])
SIGNED = np.array([[0.0, 1.0], [-1.0, 0.4], [-0.6, 0.1]])


def console(encoding="utf-8", colours=False):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)
    system = "truecolor" if colours else None
    return Console(file=stream, width=80, force_terminal=colours, color_system=system, _environ={})


def shown(what, to):
    to.print(what)
    return to.file.buffer.getvalue().decode(to.file.encoding)


def test_confusion_matrix_counts_truth_by_row():
    matrix = confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2], classes=3)
    assert matrix.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def test_confusion_matrix_of_nothing_is_zero():
    assert confusion_matrix([], [], classes=2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("truth", "predicted", "error"),
    [
        ([0, 1], [0], ShapeError),
        ([[0]], [[0]], ShapeError),
        ([0, 2], [0, 1], ArgumentError),
        ([0], [-1], ArgumentError),
    ],
)
def test_confusion_matrix_refuses(truth, predicted, error):
    with pytest.raises(error, match="confusion_matrix"):
        confusion_matrix(truth, predicted, classes=2)


def test_confusion_table_shows_counts_and_shares():
    text = shown(confusion_table(np.array([[3, 1], [0, 0]]), to := console()), to)
    assert [line.split() for line in text.splitlines()[2:]] == [
        ["0", "3", "1", "75.0%"],
        ["1", "·", "·", "-"],
    ]


def test_confusion_table_in_ascii():
    text = shown(confusion_table(np.array([[3, 1], [0, 0]]), to := console("ascii")), to)
    assert text.isascii()


def test_picture_with_shades():
    assert picture(IMAGE, 16, console()).plain == "  ▒▒\n██░░"


def test_picture_in_ascii():
    assert picture(IMAGE, 16, console("cp1252")).plain == "  ::\n##.."


def test_signed_picture_without_colours_tells_for_from_against():
    assert picture(SIGNED, 1.0, console("ascii"), signed=True).plain == "  ##\n==++\n--  "


def test_picture_with_colours_needs_no_characters():
    drawn = picture(IMAGE, 16, console("ascii", colours=True))
    assert drawn.plain == "    \n    "
    assert [str(span.style) for span in drawn.spans] == [
        "on rgb(24,24,24)",
        "on rgb(140,140,140)",
        "on rgb(255,255,255)",
        "on rgb(82,82,82)",
    ]


def test_signed_picture_is_red_for_and_blue_against():
    styles = [str(span.style) for span in picture(SIGNED, 1.0, console(colours=True), signed=True).spans]
    assert styles[:3] == ["on rgb(24,24,24)", "on rgb(255,24,24)", "on rgb(24,24,255)"]


def test_picture_of_nothing_but_zeros():
    assert picture(np.zeros((2, 1)), 0.0, console()).plain == "  \n  "


def test_no_colours_where_they_are_not_wanted():
    assert has_colours(console(colours=True))
    assert not has_colours(console())
    assert not has_colours(Console(force_terminal=True, color_system="truecolor", no_color=True))
