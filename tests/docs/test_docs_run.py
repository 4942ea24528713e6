"""Every Python block of the README and of docs/ runs and shows what it prints; links lead somewhere."""

from __future__ import annotations

import re

import documents
import pytest

import lamina
from lamina.core.config import config


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Files are written elsewhere; names count from the beginning; settings are put back."""
    monkeypatch.chdir(tmp_path)
    lamina.utils.clear_session()
    before = {name: getattr(config, name) for name in vars(config)}
    yield
    for name, value in before.items():
        setattr(config, name, value)


@pytest.mark.parametrize("path", documents.DOCUMENTS, ids=lambda path: str(path.relative_to(documents.ROOT)))
def test_document_is_true(path):
    documents.run(path)


@pytest.mark.parametrize("path", documents.DOCUMENTS, ids=lambda path: str(path.relative_to(documents.ROOT)))
def test_links_lead_to_files(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_named_source_files_exist():
    """Paths in backquotes, such as `lamina/ir/text.py`."""
    missing = {
        f"{path.name}: {name}"
        for path in documents.DOCUMENTS
        for name in re.findall(
            r"`((?:lamina|tests|benchmarks|docs|examples)/[\w./-]+)`", path.read_text("utf-8")
        )
        if not (documents.ROOT / name).exists()
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("```python\nprint(1 + 1)\n```\n\n```text\n2\n```\n", True),
        ("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n", False),
        ("```python\nprint(1 + 1)\n```\n", False),
        ("```python\nprint('a', 0.123)\n```\nSo:\n```text\na 0.1...\n```\n", True),
        ("```python\n>>> x = 2\n>>> x\n2\n```\n```python\nassert x == 2\n```\n", True),
        ("```python\n>>> 1 + 1\n3\n```\n", False),
        ("```python\nprint('add r1\\nret')\n```\n```asm\nadd r2\nret\n```\n", True),
        ("```python\nprint('add r1\\nret')\n```\n```asm\nsub r1\nret\n```\n", False),
        ("```bash\nexit 1\n```\n", True),
    ],
)
def test_the_runner_notices(tmp_path, text, fits):
    path = tmp_path / "document.md"
    path.write_text(text, encoding="utf-8")
    if fits:
        documents.run(path)
    else:
        with pytest.raises(documents.MismatchError):
            documents.run(path)
