"""Files that are damaged, made by somebody with other plans, or from the future."""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from saved_models import X, same_weights, sequential, train

import lamina
from lamina.core.errors import ArgumentError, FileError, LaminaError, StateError
from lamina.core.tensors import TensorFile, write
from lamina.saving import load_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = sequential()
    train(model)
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    model.save_weights(path.with_suffix(".safetensors"))
    return model, path


def with_member(path, name, contents):
    """The archive with another member in the place of one, as a file object."""
    result = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(result, "w") as new:
        for member in old.namelist():
            new.writestr(member, contents if member == name else old.read(member))
    result.seek(0)
    return result


def with_config(path, change):
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    change(config)
    return with_member(path, "config.json", json.dumps(config))


def test_every_cut_is_noticed(saved):
    _, path = saved
    contents = path.read_bytes()
    for length in [*range(0, len(contents), 211), len(contents) - 1]:
        with pytest.raises(FileError):
            load_model(io.BytesIO(contents[:length]))


def test_flipped_bits_are_noticed_or_do_not_matter(saved):
    """A checksum covers what is stored; what flips in the archive's own tables may be no more than a date."""
    model, path = saved
    contents = path.read_bytes()
    noticed = 0
    positions = range(5, len(contents), 97)
    for position in positions:
        damaged = bytearray(contents)
        damaged[position] ^= 0x10
        try:
            loaded = load_model(io.BytesIO(damaged))
        except LaminaError:
            noticed += 1
        else:
            assert same_weights(loaded, model)
    assert noticed > len(positions) / 2


def test_damaged_weights_leave_the_model_as_it_was(saved, tmp_path):
    _, path = saved
    other = sequential()
    before = other.get_weights()
    contents = path.with_suffix(".safetensors").read_bytes()
    for length in range(0, len(contents), 97):
        (tmp_path / "cut.safetensors").write_bytes(contents[:length])
        with pytest.raises(FileError):
            other.load_weights(tmp_path / "cut.safetensors")
    assert all(np.array_equal(*pair) for pair in zip(before, other.get_weights(), strict=True))


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}},
        {"a": {"dtype": "F32", "shape": [True], "data_offsets": [4, 8]}},
        {"a": {"dtype": "PICKLE", "shape": [2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]}},
        {"a": [1, 2, 3]},
        {
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        },
        [],
    ],
)
def test_headers_that_lie(header):
    text = json.dumps(header).encode()
    contents = len(text).to_bytes(8, "little") + text + bytes(8)
    with pytest.raises(FileError):
        TensorFile(io.BytesIO(contents), len(contents)).read()


def test_tensors_of_all_kinds_come_back():
    arrays = {
        "scalar": np.array(3, "int64"),
        "empty": np.zeros((0, 3), "float32"),
        "strided": np.arange(12.0).reshape(3, 4).T,
        "truth": np.array([True, False]),
        "big endian": np.arange(3, dtype=">i4"),
    }
    file = io.BytesIO()
    write(file, arrays, {"about": "tests"})
    size = file.tell()
    file.seek(0)
    found = TensorFile(file, size)
    assert found.metadata == {"about": "tests"}
    for name, array in found.read().items():
        assert array.shape == arrays[name].shape
        np.testing.assert_array_equal(array, arrays[name])


def test_memory_is_not_taken_on_the_word_of_a_file(saved):
    _, path = saved

    def enlarge(config):
        config["config"]["layers"][1]["config"]["units"] = 10**9
        config["config"]["layers"][1].pop("build_config", None)

    tracemalloc.start()
    with pytest.raises(StateError, match="larger than the weights in the file"):
        load_model(with_config(path, enlarge))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_a_bomb_is_not_unfolded(saved):
    _, path = saved
    bomb = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("metadata.json", old.read("metadata.json"))
        new.writestr("config.json", b" " * 200_000_000)
    bomb.seek(0)
    tracemalloc.start()
    with pytest.raises(FileError, match="fill the memory"):
        load_model(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_deep_and_strange_configs(saved):
    _, path = saved
    for text in (b"[" * 100_000, b"null", b"[]", b"{}", b"\xff\xfe", b'{"class_name": 3, "config": {}}'):
        with pytest.raises(LaminaError):
            load_model(with_member(path, "config.json", text))


@pytest.mark.parametrize(
    "name", ["os.system", "system", "eval", "subprocess.Popen", "function", "__import__", "numpy.load"]
)
def test_a_file_names_only_what_is_registered(saved, name):
    _, path = saved

    def replace(config):
        config["config"]["layers"][1].update(
            {"module": "os", "class_name": name, "config": {"command": "true"}, "registered_name": name}
        )

    with pytest.raises(LaminaError):
        load_model(with_config(path, replace))


def test_a_later_format(saved):
    _, path = saved
    metadata = {"format": "lamina", "format_version": 2, "lamina_version": "9.0"}
    with pytest.raises(FileError, match="later version of Lamina"):
        load_model(with_member(path, "metadata.json", json.dumps(metadata)))


def test_what_is_no_model(saved, tmp_path):
    with pytest.raises(FileError, match=r"not a \.keras file"):
        load_model(io.BytesIO(b"PK but no more"))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("photo.jpg", b"")
    archive.seek(0)
    with pytest.raises(FileError, match=r"config\.json.*\n.*photo"):
        load_model(archive)

    def become_a_layer(config):
        config.update(config["config"]["layers"][1])

    with pytest.raises(FileError, match="does not hold a model"):
        load_model(with_config(saved[1], become_a_layer))


def test_weights_missing_from_the_file(saved):
    model, path = saved
    short = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(4, "relu")])
    file = io.BytesIO()
    lamina.saving.save_model(short, file)
    with zipfile.ZipFile(file) as archive:
        weights = archive.read("model.weights.safetensors")
    with pytest.raises(FileError, match="do not fit the model: 'dense"):
        load_model(with_member(path, "model.weights.safetensors", weights))
    assert model.predict(X, verbose=0).shape == (48, 1)


def test_unknown_names_say_how_to_load(saved):
    def rename(config):
        config["config"]["layers"][1]["class_name"] = "Dens"

    with pytest.raises(ArgumentError, match="Dense"):
        load_model(with_config(saved[1], rename))
