"""Weights by position and by name, whole or not at all, in both formats."""

from itertools import pairwise

import numpy as np
import pytest
import safetensors.numpy
from saved_models import MODELS, X, functional, same_weights, sequential, train

import lamina
from lamina import layers
from lamina.core.errors import ArgumentError, FileError, StateError

models = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@models
@pytest.mark.parametrize("ending", ["safetensors", "weights.h5"])
def test_by_position(make, ending, tmp_path):
    model = make()
    train(model)
    model.save_weights(tmp_path / f"model.{ending}")
    other = make()
    assert not same_weights(other, model)
    other.load_weights(tmp_path / f"model.{ending}")
    assert same_weights(other, model)
    assert int(other.optimizer.iterations) == 6


def test_from_a_whole_model(tmp_path):
    model, other = functional(), functional()
    model.save(tmp_path / "model.keras")
    other.load_weights(tmp_path / "model.keras")
    assert same_weights(other, model)


def heads(classes, hidden=4):
    return lamina.Sequential(
        [
            lamina.Input((3,)),
            layers.Dense(hidden, name="hidden"),
            lamina.Sequential([layers.Dense(2), layers.Dense(2, name="inner")], name="body"),
            layers.Dense(classes, name=f"head_of_{classes}"),
        ]
    )


def test_by_name_moves_weights_to_another_architecture(tmp_path):
    model, other = heads(3), heads(7)
    model.save_weights(tmp_path / "model.safetensors")
    head = other.layers[-1].get_weights()
    other.load_weights(tmp_path / "model.safetensors", by_name=True)
    assert same_weights(other.layers[0], model.layers[0])
    assert same_weights(other.layers[1], model.layers[1])
    assert all(np.array_equal(*pair) for pair in zip(head, other.layers[-1].get_weights()))
    stranger = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, name="stranger")])
    with pytest.warns(UserWarning, match="nothing was loaded"):
        stranger.load_weights(tmp_path / "model.safetensors", by_name=True)


def test_what_does_not_fit_changes_nothing(tmp_path):
    model, other = heads(3), heads(3, hidden=9)
    model.save_weights(tmp_path / "model.safetensors")
    for by_name in (False, True):
        before = other.get_weights()
        with pytest.raises(FileError, match="'hidden'") as caught:
            other.load_weights(tmp_path / "model.safetensors", by_name=by_name)
        assert "(3, 9)" in str(caught.value)
        assert "Nothing was loaded" in str(caught.value)
        assert all(np.array_equal(*pair) for pair in zip(before, other.get_weights(), strict=True))


def test_skip_mismatch(tmp_path):
    model, other = heads(3), heads(3, hidden=9)
    model.save_weights(tmp_path / "model.safetensors")
    before = other.layers[0].get_weights()
    with pytest.warns(UserWarning, match="'hidden'"):
        other.load_weights(tmp_path / "model.safetensors", skip_mismatch=True)
    assert same_weights(other.layers[-1], model.layers[-1])
    assert all(np.array_equal(*pair) for pair in zip(before, other.layers[0].get_weights()))


def test_skip_mismatch_leaves_whole_layers(tmp_path):
    """A kernel that fits is not taken when the bias of its layer does not."""

    class Odd(layers.Layer):
        def __init__(self, size):
            super().__init__()
            self.first = self.add_weight(shape=(2,), initializer="normal", name="first")
            self.second = self.add_weight(shape=(size,), initializer="normal", name="second")

        def call(self, inputs):
            return inputs

    model, other = (lamina.Sequential([lamina.Input((3,)), Odd(size)]) for size in (2, 3))
    model.save_weights(tmp_path / "model.safetensors")
    before = other.get_weights()
    with pytest.warns(UserWarning, match="odd"):
        other.load_weights(tmp_path / "model.safetensors", skip_mismatch=True)
    assert all(np.array_equal(*pair) for pair in zip(before, other.get_weights()))


def test_more_in_the_file_than_in_the_model(tmp_path):
    heads(3).save_weights(tmp_path / "model.safetensors")
    part = lamina.Sequential([lamina.Input((3,)), layers.Dense(4)])
    with pytest.warns(UserWarning, match="no place for the weights of layers/dense_1"):
        part.load_weights(tmp_path / "model.safetensors")


def trained():
    model = sequential()
    model.compile("adam", "mse")
    x, y = (np.ones((4, *shape[1:]), "float32") for shape in (model.input_shape, model.output_shape))
    model.train_on_batch(x, y)
    return model


def test_weights_in_several_files_come_back_whole(tmp_path):
    model, path = trained(), tmp_path / "model.weights.json"
    limit = int(1.5 * max(weight.nbytes for weight in model.get_weights()))
    for _ in range(2):  # the second time in place of the first
        model.save_weights(path, max_shard_size=limit / 2**30)
        files = sorted(file for file in tmp_path.iterdir() if file != path)
        held = [sum(array.nbytes for array in safetensors.numpy.load_file(file).values()) for file in files]
        assert len(files) > 1
        assert max(held) <= limit
        assert min(one + other for one, other in pairwise(held)) > limit  # none could have been saved
        fresh = trained()
        fresh.load_weights(path)
        for found, expected in zip(fresh.get_weights(), model.get_weights()):
            np.testing.assert_array_equal(found, expected)
        assert int(fresh.optimizer.iterations) == 1
    with pytest.raises(ArgumentError, match="overwrite=False"):
        model.save_weights(path, overwrite=False, max_shard_size=1)
    files[0].unlink()
    with pytest.raises(FileNotFoundError):
        fresh.load_weights(path)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of Keras' variables
def test_shards_of_keras_are_read(tmp_path, real_keras):
    theirs = real_keras.Sequential([real_keras.Input((3,)), *(real_keras.layers.Dense(40) for _ in range(3))])
    theirs.save_weights(tmp_path / "model.weights.json", max_shard_size=8000 / 2**30)
    assert len(list(tmp_path.iterdir())) > 2
    ours = lamina.Sequential([lamina.Input((3,)), *(layers.Dense(40) for _ in range(3))])
    ours.load_weights(tmp_path / "model.weights.json")
    for found, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"weight_map": 3}',
        '{"weight_map": {"a": "../b.safetensors"}}',
        '{"weight_map": {"a": "x.py"}}',
    ],
)
def test_an_index_names_nothing_else(tmp_path, text):
    (tmp_path / "model.weights.json").write_text(text)
    with pytest.raises(FileError, match="index of weights"):
        sequential().load_weights(tmp_path / "model.weights.json")


def test_mistakes(tmp_path):
    model = sequential()
    with pytest.raises(ArgumentError, match=r"\.safetensors or \.weights\.h5"):
        model.save_weights(tmp_path / "model.bin")
    with pytest.raises(FileNotFoundError):
        model.load_weights(tmp_path / "model.safetensors")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(FileError, match="kind of file"):
        model.load_weights(tmp_path / "model.bin")
    (tmp_path / "model.weights.h5").write_bytes(b"no HDF5 at all")
    with pytest.raises(FileError, match="HDF5"):
        model.load_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ArgumentError, match=r"end in \.weights\.json"):
        model.save_weights(tmp_path / "model.safetensors", max_shard_size=1)
    with pytest.raises(ArgumentError, match="positive"):
        model.save_weights(tmp_path / "model.weights.json", max_shard_size=0)
    with pytest.raises(ArgumentError, match="alone is larger"):
        model.save_weights(tmp_path / "model.weights.json", max_shard_size=1e-8)
    assert not (tmp_path / "model.weights.json").exists()
    for action in ("save_weights", "load_weights"):
        with pytest.raises(StateError, match="not built"):
            getattr(lamina.Sequential([layers.Dense(2)]), action)(tmp_path / "model.safetensors")


def test_links_in_hdf5_are_not_followed(tmp_path):
    import h5py

    model = sequential()
    model.save_weights(tmp_path / "model.weights.h5")
    path = tmp_path / "linked.weights.h5"
    for link in (h5py.ExternalLink("model.weights.h5", "/layers/dense/vars/0"), h5py.SoftLink("/elsewhere")):
        path.write_bytes((tmp_path / "model.weights.h5").read_bytes())
        with h5py.File(path, "a") as root:
            del root["layers/dense/vars/0"]
            root["layers/dense/vars/0"] = link
        with pytest.raises(FileError, match="not followed"):
            model.load_weights(path)
    with h5py.File(path, "a") as root:
        del root["layers/dense/vars/0"]
        root["layers/dense/vars"].create_dataset("0", shape=(2**38,), dtype="float32")
    with pytest.raises(FileError, match="claims"):
        model.load_weights(path)


@models
def test_the_state_as_nested_dicts(make):
    model = make()
    train(model)
    tree = model.get_state_tree("numpy_array")
    assert list(tree) == [
        "trainable_variables",
        "non_trainable_variables",
        "optimizer_variables",
        "metrics_variables",
    ]
    before = model.get_weights()
    train(model, 1)
    assert not np.array_equal(model.get_weights()[0], before[0])
    model.set_state_tree({"trainable_variables": tree["trainable_variables"]})
    assert int(model.optimizer.iterations) == 9
    model.set_state_tree(tree)
    assert int(model.optimizer.iterations) == 6
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))
    with pytest.raises(ArgumentError, match="nowhere"):
        model.set_state_tree({"trainable_variables": {"nowhere": 1.0}})
    with pytest.raises(ArgumentError, match="weights"):
        model.set_state_tree({"weights": {}})
    with pytest.raises(ArgumentError, match="torch"):
        model.get_state_tree("torch")


def test_training_after_loading_uses_the_new_weights(tmp_path):
    model, other = sequential(), sequential()
    train(other)
    before = other.predict(X, verbose=0)
    model.save_weights(tmp_path / "model.safetensors")
    other.load_weights(tmp_path / "model.safetensors")
    assert not np.array_equal(other.predict(X, verbose=0), before)
    np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))
