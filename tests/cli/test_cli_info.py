"""`lamina info` and `lamina cache`."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import lamina
from lamina.cli.commands import lamina_command
from lamina.core.config import config


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command with a code cache of its own."""
    monkeypatch.setattr(config, "cache_dir", tmp_path)

    def invoke(*arguments: str) -> str:
        result = CliRunner(env={"COLUMNS": "200"}).invoke(lamina_command, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    return invoke


def test_info_shows_what_a_bug_report_needs(run):
    rows = dict(line.split(maxsplit=1) for line in run("info").splitlines() if not line.startswith(" "))
    assert rows["lamina"].strip() == lamina.__version__
    assert rows["numpy"].strip() == np.__version__
    assert {"python", "system", "llvmlite", "processor", "features", "caches", "threads"} <= rows.keys()
    assert rows["backends"].split(", ")[0] == "reference"
    assert rows["code"].startswith("cache")


def test_info_prints_in_any_encoding():
    """As a process of its own, with an encoding that has no letters but ASCII."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "lamina", "info"], env=environment, capture_output=True, check=True
    )
    assert lamina.__version__.encode() in done.stdout
    assert done.stderr == b""


def test_cache_counts_and_clears(run):
    folder = config.cache_dir / "code"
    assert "(0 entries, 0.0 MB)" in run("cache", "info")
    folder.mkdir()
    (folder / "abc").write_bytes(bytes(1_500_000))
    (folder / ".new-left-behind").write_bytes(b"1")
    assert f"{folder} (2 entries, 1.5 MB)" in run("cache", "info")
    assert "2 entries deleted, 1.5 MB freed." in run("cache", "clear")
    assert list(folder.iterdir()) == []


def test_programs_are_compiled_again_after_clearing(run):
    double = lamina.function(lambda x: x + x)
    assert double(np.ones(3, "float32")).tolist() == [2.0, 2.0, 2.0]
    assert "(0 entries" not in run("cache", "info")
    run("cache", "clear")
    again = lamina.function(lambda x: x + x)
    assert again(np.ones(3, "float32")).tolist() == [2.0, 2.0, 2.0]
