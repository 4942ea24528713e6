"""The demonstration: what it achieves, what it shows, and that it works wherever it is run."""

from __future__ import annotations

import io
import re
import sys

import pytest
from click.testing import CliRunner

from lamina.cli import demo, main
from lamina.cli.commands import lamina_command

MATRIX_ROW = re.compile(r"^\s*\d(?:[\s|]+(?:\d+|[.·])){10}[\s|]+[\d.]+%", re.MULTILINE)


@pytest.fixture
def output(monkeypatch):
    """A function that replaces standard output by one of this encoding; what that lacks is an error."""

    def replace(encoding: str) -> io.TextIOWrapper:
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    monkeypatch.setenv("COLUMNS", "80")
    return replace


def printed(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode(stream.encoding)


def test_default_run_reads_digits(tmp_path):
    """The command as a newcomer runs it: at least 98.5 % of the test images."""
    page = tmp_path / "demo.html"
    result = CliRunner().invoke(lamina_command, ["demo", "--page", str(page)], catch_exceptions=False)
    assert result.exit_code == 0
    accuracy = float(re.search(r"Test accuracy (\d\.\d+)", result.output)[1])
    assert accuracy >= 0.985
    assert len(MATRIX_ROW.findall(result.output)) == 10
    assert len(re.findall(r"^Epoch \d", result.output, re.MULTILINE)) == 6
    assert page.as_uri() in result.output

    text = page.read_text(encoding="utf-8")
    assert f"{accuracy:.1%}" in text
    assert text.count("data:image/png;base64,") == 1
    assert re.search(r"""(src|href)=["'](?!data:)""", text) is None, "the page must open offline"
    mistakes = int(re.search(r"(\d+) mistakes in", result.output)[1])
    assert text.count(" sure</small>") == mistakes
    assert text.count("<svg") == 2 * mistakes
    assert "digits_train" in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_output_fits_the_encoding_and_80_columns(output, tmp_path, encoding):
    stream = output(encoding)
    demo.run(epochs=1, seed=1, page=tmp_path / "demo.html")
    text = printed(stream)
    *lines, last = text.splitlines()
    assert "Test accuracy" in text
    assert max(map(len, lines)) <= 80
    assert last.endswith("demo.html"), "the address is never broken into lines"
    assert len(MATRIX_ROW.findall(text)) == 10


def test_runs_without_matplotlib(output, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    stream = output("utf-8")
    demo.run(epochs=1, seed=1, page=tmp_path / "demo.html")
    assert "pip install matplotlib" in printed(stream)
    text = (tmp_path / "demo.html").read_text(encoding="utf-8")
    assert "<img" not in text
    assert "Mistakes and reasons" in text


def test_same_seed_gives_the_same_outcome(output, tmp_path):
    texts = []
    for _ in range(2):
        stream = output("utf-8")
        demo.run(epochs=1, seed=3, page=tmp_path / "demo.html")
        texts.append(printed(stream))
    first, second = (re.findall(r"^Epoch .*|^Test accuracy .* images", text, re.MULTILINE) for text in texts)
    assert len(first) == 2
    assert first == second


def test_unwritable_page_is_refused_before_training(tmp_path):
    result = CliRunner().invoke(lamina_command, ["demo", "--page", str(tmp_path / "no" / "demo.html")])
    assert result.exit_code == 2
    assert "cannot write to the folder" in result.output
    assert "Epoch" not in result.output


def test_the_command_says_that_click_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit, match=r"pip install 'lamina\[cli\]'"):
        main()
