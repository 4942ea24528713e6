"""The self-contained page."""

from __future__ import annotations

import base64
import re
import struct
from html.parser import HTMLParser

import numpy as np
import pytest

from lamina.report import Section, page, write_page


class Tags(HTMLParser):
    """Checks that tags are closed in the order in which they were opened."""

    VOID = frozenset({"meta", "img", "rect", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.text = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def text(tmp_path):
    sections = [
        Section("Heading <1>", "About & around.", page.wide("<b>bold</b>")),
        Section("Second", "", "x"),
    ]
    path = write_page(
        tmp_path / "new" / "page.html", "A <title>", "Hello & welcome", [("mice & men", "<5")], sections
    )
    return path.read_text(encoding="utf-8")


def test_page_is_well_formed(text):
    tags = Tags(text)
    words = "".join(tags.text)
    for word in ("A <title>", "Hello & welcome", "mice & men", "<5", "Heading <1>", "About & around."):
        assert word in words
    assert "<b>bold</b>" in text


def test_page_needs_nothing_from_outside(text):
    assert not re.search(r"https?://|src=|href=|@import|<script", text)


def test_curves_are_an_image_with_a_panel_per_metric():
    def size(history):
        tag = page.curves(history)
        png = base64.b64decode(re.search(r"base64,([^\"]+)", tag)[1])
        assert png.startswith(b"\x89PNG")
        return struct.unpack(">II", png[16:24])

    loss = {"loss": [2.0, 1.0], "val_loss": [2.5, 1.5]}
    one, two = size(loss), size({**loss, "accuracy": [0.5, 0.7], "learning_rate": [0.1, 0.1]})
    assert two[1] == one[1]
    assert two[0] == pytest.approx(2 * one[0], abs=2)


def test_curves_of_one_epoch():
    assert page.curves({"loss": [1.0]}).startswith('<img alt="Curves over the epochs: loss"')


def test_matrix_table():
    text = page.matrix_table(np.array([[3, 1], [0, 0]]))
    words = [word for word in Tags(text).text if word.strip()]
    assert words == ["truth", "0", "1", "right", "0", "3", "1", "75.0%", "1", "·", "·", "-"]
    assert text.count("rgba(220,50,50") == 1


def test_picture_draws_what_is_not_black():
    svg = page.picture(np.array([[0.0, 16.0], [8.0, 0.0]]), 16, 'a "name"')
    Tags(svg)
    assert 'viewBox="0 0 2 2"' in svg
    assert 'aria-label="a &quot;name&quot;"' in svg
    assert re.findall(r'<rect x="(\d)" y="(\d)" width="1" height="1" fill="(#\w+)"/>', svg) == [
        ("1", "0", "#ffffff"),
        ("0", "1", "#808080"),
    ]


def test_signed_picture_is_red_above_and_blue_below_zero():
    svg = page.picture(np.array([[-2.0, 2.0]]), 2.0, "signs", signed=True)
    assert re.findall(r'fill="(#\w{6})"', svg) == ["#0000ff", "#ff0000"]


def test_cards_escape_their_titles():
    text = page.cards([page.card("3 <as> 5", "90% & more", ["<svg></svg>"])])
    assert "".join(Tags(text).text) == "3 <as> 5 90% & more"
