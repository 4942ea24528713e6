"""A model that comes from a file is the model that went into it, and trains on as if nothing had happened."""

import io
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from saved_models import MODELS, Scaled, X, Y, fourth_power, same_weights, sequential, train

import lamina
from lamina import layers
from lamina.core.errors import ArgumentError, FileError, StateError
from lamina.core.files import replacing
from lamina.saving import load_model, save_model

GOLDEN = Path(__file__).parent / "golden"

models = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@models
def test_training_goes_on_bit_for_bit(make, tmp_path):
    model = make()
    train(model)
    model.save(tmp_path / "model.keras")
    loaded = lamina.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert same_weights(loaded, model)
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    assert loaded.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert train(loaded) == train(model)  # with dropout and noise: the random seeds went with it
    assert same_weights(loaded, model)
    assert int(loaded.optimizer.iterations) == 12
    for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@models
def test_a_file_of_a_file_is_the_same(make, tmp_path):
    model = make()
    train(model, 1)
    paths = tmp_path / "first.keras", tmp_path / "second.keras"
    model.save(paths[0])
    load_model(paths[0]).save(paths[1])
    first, second = (zipfile.ZipFile(path) for path in paths)
    assert first.read("config.json") == second.read("config.json")
    arrays = [safetensors.numpy.load(file.read("model.weights.safetensors")) for file in (first, second)]
    assert set(arrays[0]) == set(arrays[1])
    assert all(np.array_equal(array, arrays[1][name]) for name, array in arrays[0].items())


def test_the_weights_are_ordinary_safetensors(tmp_path):
    model = sequential()
    train(model)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert archive.testzip() is None
        tensors = safetensors.numpy.load(archive.read("model.weights.safetensors"))
    np.testing.assert_array_equal(tensors["layers/dense_1/vars/0"], model.layers[2].kernel)
    assert {"layers/dropout/seeds/0", "optimizer/vars/9"} <= set(tensors)
    model.save_weights(tmp_path / "model.safetensors")
    again = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert {name: array.tolist() for name, array in again.items()} == {
        name: array.tolist() for name, array in tensors.items()
    }


def test_without_the_compile_settings(tmp_path):
    model = sequential()
    train(model)
    model.save(tmp_path / "whole.keras")
    model.save(tmp_path / "bare.keras", include_optimizer=False)
    assert not load_model(tmp_path / "bare.keras").compiled
    assert not load_model(tmp_path / "whole.keras", compile=False).compiled
    assert same_weights(load_model(tmp_path / "whole.keras", compile=False), model)
    assert os.path.getsize(tmp_path / "bare.keras") < os.path.getsize(tmp_path / "whole.keras")


def test_a_model_compiled_but_not_trained(tmp_path):
    model = sequential()
    model.optimizer.learning_rate = 0.25
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert float(loaded.optimizer.learning_rate) == 0.25
    assert train(loaded) == train(model)


def test_file_objects():
    model = sequential()
    file = io.BytesIO()
    save_model(model, file)
    file.seek(0)
    assert same_weights(load_model(file), model)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes(dtype, tmp_path):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, dtype=dtype)])
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.layers[0].kernel.dtype == dtype
    assert same_weights(loaded, model)


def test_flags_of_frozen_layers_are_kept(tmp_path):
    model = sequential()
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert [layer.trainable for layer in loaded.layers] == [False, True, True]
    assert len(loaded.trainable_variables) == 2


def test_custom_things_by_argument(tmp_path):
    class Doubled(layers.Layer):
        def call(self, inputs):
            return inputs * 2

    model = lamina.Sequential([lamina.Input((3,)), Doubled(), layers.Dense(1)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ArgumentError, match=r"Doubled.*\n.*register"):
        load_model(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras", custom_objects={"Doubled": Doubled})
    np.testing.assert_array_equal(loaded(X), model(X))


def test_own_ways_of_storing(tmp_path):
    @lamina.saving.register_keras_serializable("saving")
    class Table(layers.Layer):
        def __init__(self, rows=None, **kwargs):
            super().__init__(**kwargs)
            self.rows = np.zeros(0) if rows is None else np.asarray(rows)

        def call(self, inputs):
            return inputs

        def get_config(self):
            return {"name": self.name}

        def save_own_variables(self, store):
            store["rows"] = self.rows

        def load_own_variables(self, store):
            self.rows = store["rows"]

    model = lamina.Sequential([lamina.Input((3,)), Table([1, 2, 3])])
    model.save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").layers[0].rows.tolist() == [1, 2, 3]


def test_a_lambda_is_said_to_be_lost(tmp_path):
    model = lamina.Sequential([lamina.Input((3,)), layers.Lambda(lambda x: x + 1)])
    with pytest.warns(UserWarning, match="cannot be loaded"):
        model.save(tmp_path / "model.keras")
    for safe_mode in (True, False):
        with pytest.raises(StateError, match="never runs code"):
            load_model(tmp_path / "model.keras", safe_mode=safe_mode)


def test_names_of_files(tmp_path):
    model = sequential()
    with pytest.raises(ArgumentError, match=r"\.keras"):
        model.save(tmp_path / "model.h5")
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "nowhere" / "model.keras")
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "model.keras")
    with pytest.raises(FileError, match="folder"):
        load_model(tmp_path)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ArgumentError, match="exists"):
        model.save(tmp_path / "model.keras", overwrite=False)
    with pytest.raises(ArgumentError, match="one file"):
        model.save(tmp_path / "model.keras", zipped=False)
    with pytest.raises(StateError, match="not built"):
        lamina.Sequential([layers.Dense(2)]).save(tmp_path / "other.keras")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "numbers"
    path.write_bytes(b"before")

    def interrupted():
        with replacing(path) as file:
            file.write(b"half of what")
            file.flush()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"before"
    with replacing(path) as file:
        file.write(b"after")
        file.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert [entry.name for entry in tmp_path.iterdir()] == ["numbers"]


def test_saving_while_another_thread_trains(tmp_path):
    """Each file holds the state after some whole step: iterations and a weight that counts agree."""
    model = lamina.Sequential([lamina.Input((3,)), Scaled(), layers.Dense(1)])
    model.compile("adam", "mse")
    train(model, 1)
    training = threading.Thread(target=train, args=(model, 200))
    training.start()
    for number in range(5):
        model.save(tmp_path / f"{number}.keras")
    training.join()
    for number in range(5):
        loaded = load_model(tmp_path / f"{number}.keras")
        assert int(loaded.layers[0].calls.numpy()) == int(loaded.optimizer.iterations)


def test_a_file_of_the_first_format_still_loads():
    """Made once, by the first version that could save; never make it anew."""
    model = load_model(GOLDEN / "first.keras")
    expected = np.load(GOLDEN / "first.npz")
    np.testing.assert_allclose(model.predict(expected["x"], verbose=0), expected["prediction"], rtol=1e-6)
    assert int(model.optimizer.iterations) == 6
    history = model.fit(expected["x"], expected["y"], batch_size=20, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], expected["loss"], rtol=1e-5)
    assert model.loss is fourth_power


def test_vocabularies_that_keras_keeps_beside_the_weights():
    model = lamina.models.load_model(GOLDEN / "words.keras")  # text and a code, given as a list
    found = model.predict([np.array(["good film", "bad and good"]), np.array([5, 8])], verbose=0)
    np.testing.assert_allclose(found, [[-0.010896394], [0.06135058]], rtol=1e-5)


@lamina.saving.register_keras_serializable(package="tests")
class WithNotes(layers.Dense):
    """A layer with files of its own."""

    notes = ""

    def save_assets(self, folder):
        (Path(folder) / "deep").mkdir()
        (Path(folder) / "deep" / "notes.txt").write_text(self.notes)

    def load_assets(self, folder):
        self.notes = (Path(folder) / "deep" / "notes.txt").read_text()


def test_files_of_layers_come_back(tmp_path):
    model = lamina.Sequential([lamina.Input((3,)), WithNotes(2), WithNotes(2)])
    for number, layer in enumerate(model.layers):
        layer.notes = f"note {number}"
    model.save(tmp_path / "model.keras")
    again = lamina.models.load_model(tmp_path / "model.keras")
    assert [layer.notes for layer in again.layers] == ["note 0", "note 1"]


def test_files_of_layers_stay_in_their_folder(tmp_path):
    path = tmp_path / "model.keras"
    lamina.Sequential([lamina.Input((3,)), WithNotes(2)]).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/layers/with_notes/../../evil.txt", "x")
    with pytest.raises(FileError, match="leads elsewhere"):
        lamina.models.load_model(path)
