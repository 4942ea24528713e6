"""Settings from the environment, and a cache folder that is of no use."""

import json

import numpy as np
import pytest
from robust_process import run_script

_TRAIN = """
import json, sys
import numpy as np
from lamina.utils import set_random_seed
from robust_models import classes, classifier
set_random_seed(1)
model = classifier()
history = model.fit(*classes(), epochs=3, verbose=0).history
programs = model.compile_report().programs
print(json.dumps({
    "loss": history["loss"], "weights": [np.asarray(weight).tolist() for weight in model.get_weights()],
    "backend": programs[0].backend, "cached": programs[0].cache_hit,
}))
"""


def train(**variables):
    """What a script printed that trains a classifier, and what it wrote to standard error."""
    output, errors = run_script(_TRAIN, **variables)
    return json.loads(output), errors


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The training that all settings must reproduce."""
    result, errors = train(LAMINA_CACHE_DIR=tmp_path_factory.mktemp("cache"))
    assert not errors
    assert result["backend"] == "cpu"
    assert not result["cached"]
    return result


def damaged(folder, how):
    """A cache folder whose entries were all damaged."""
    train(LAMINA_CACHE_DIR=folder)
    entries = list((folder / "code").iterdir())
    assert entries
    for entry in entries:
        data = entry.read_bytes()
        changed = {
            "empty": b"",
            "cut": data[: len(data) // 2],
            "zeros": bytes(len(data)),
            "one bit": data[:-7] + bytes([data[-7] ^ 4]) + data[-6:],
        }
        entry.write_bytes(changed[how])


@pytest.mark.parametrize("how", ["empty", "cut", "zeros", "one bit"])
def test_a_damaged_cache_is_made_anew(tmp_path, expected, how):
    damaged(tmp_path, how)
    result, errors = train(LAMINA_CACHE_DIR=tmp_path)
    assert result == expected
    assert not errors
    again, _ = train(LAMINA_CACHE_DIR=tmp_path)
    assert again == {**expected, "cached": True}


def test_a_cache_folder_that_cannot_be_made(tmp_path, expected):
    (tmp_path / "file").write_text("in the way")
    for _ in range(2):
        result, errors = train(LAMINA_CACHE_DIR=tmp_path / "file" / "cache")
        assert result == expected
        assert not errors


def test_entries_that_cannot_be_read_or_written(tmp_path, expected):
    train(LAMINA_CACHE_DIR=tmp_path)
    for entry in list((tmp_path / "code").iterdir()):
        entry.unlink()
        (entry / "a folder in the way").mkdir(parents=True)
    result, errors = train(LAMINA_CACHE_DIR=tmp_path)
    assert result == expected
    assert not errors


def test_the_reference_backend_trains_alike(expected):
    result, errors = train(LAMINA_BACKEND="reference")
    assert result["backend"] == "reference"
    assert not errors
    np.testing.assert_allclose(result["loss"], expected["loss"], rtol=1e-4)
    for ours, other in zip(result["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-3, atol=1e-4)


_HEADS = {
    "graph": "-- graph of",
    "kernels": "-- kernels of",
    "llvm": "-- LLVM IR of",
    "assembly": "-- assembly of",
}
_CONTENT = {"graph": "dot(", "kernels": "for", "llvm": "define", "assembly": ".text"}


@pytest.mark.parametrize("wanted", [["graph"], ["kernels", "assembly"], list(_HEADS)], ids=",".join)
def test_dumps_appear(expected, wanted):
    result, errors = train(LAMINA_DEBUG=",".join(wanted))
    assert result["loss"] == expected["loss"]
    for dump, head in _HEADS.items():
        assert (head in errors) == (dump in wanted), dump
        assert dump not in wanted or _CONTENT[dump] in errors, dump
