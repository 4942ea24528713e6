"""TensorBoard: what was written is read back by the tensorboard package."""

import builtins
import io
import json

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.plugins.graph.keras_util import keras_model_to_graph_def
from tensorboard.util.tensor_util import make_ndarray

import lamina
from lamina import layers
from lamina.callbacks import TensorBoard
from lamina.core.errors import ArgumentError, StateError
from lamina.training.callbacks.tensorboard import as_images


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return events


def numbers(events, tag):
    return [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]


def test_scalars_are_those_of_the_history(tmp_path, classifier, classes):
    board = TensorBoard(tmp_path, write_steps_per_second=True)
    assert not any(board.wants_batches(kind) for kind in ("train", "test", "predict"))
    history = classifier.fit(*classes, epochs=3, validation_split=0.2, callbacks=[board], verbose=0).history
    train, validation = read(tmp_path / "train"), read(tmp_path / "validation")
    for name in ("loss", "accuracy"):
        for events, key in ((train, name), (validation, f"val_{name}")):
            expected = [(epoch, pytest.approx(value)) for epoch, value in enumerate(history[key])]
            assert numbers(events, f"epoch_{name}") == expected
    assert numbers(train, "epoch_learning_rate") == [(epoch, pytest.approx(0.001)) for epoch in range(3)]
    assert all(value > 0 for _, value in numbers(train, "epoch_steps_per_second"))
    steps = [step for step, _ in numbers(validation, "evaluation_loss_vs_iterations")]
    assert steps == [4, 8, 12]


@pytest.mark.parametrize(("frequency", "steps"), [("batch", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), (4, [4, 8])])
def test_batches_are_written_as_often_as_wanted(tmp_path, classifier, classes, frequency, steps):
    board = TensorBoard(tmp_path, update_freq=frequency)
    assert board.wants_batches("train")
    classifier.fit(*classes, epochs=2, callbacks=[board], verbose=0)
    assert [step for step, _ in numbers(read(tmp_path / "train"), "batch_loss")] == steps


def test_histograms_of_weights_and_gradients(tmp_path, classifier, classes):
    x, y = classes
    before = [weight.numpy() for weight in classifier.weights]
    board = TensorBoard(tmp_path, histogram_freq=2, write_gradients=True, write_images=True)
    classifier.compile(lamina.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    classifier.fit(x, y, epochs=3, shuffle=False, callbacks=[board], verbose=0)
    events = read(tmp_path / "train")
    for weight, values in zip(classifier.weights, before, strict=True):
        found = events.Tensors(f"{weight.path}/histogram")
        assert [event.step for event in found] == [0, 2]
        buckets = make_ndarray(found[0].tensor_proto)
        assert buckets[:, 2].sum() == values.size
        assert buckets[0, 0] == pytest.approx(values.min())
        assert buckets[-1, 1] == pytest.approx(values.max())

    # The gradient of a softmax and its cross-entropy with respect to the bias: the mean of p - y.
    bias = make_ndarray(events.Tensors(f"{classifier.weights[-1].path}/gradient")[0].tensor_proto)
    expected = (classifier.predict(x[:32], verbose=0) - np.eye(3)[y[:32]]).mean(axis=0)
    assert (bias[0, 0], bias[-1, 1]) == (
        pytest.approx(expected.min(), 1e-4),
        pytest.approx(expected.max(), 1e-4),
    )

    image = events.Tensors(f"{classifier.weights[0].path}/image")[0]
    width, height, *pictures = make_ndarray(image.tensor_proto)
    assert (width, height, len(pictures)) == (b"8", b"4", 1)
    pixels = np.asarray(Image.open(io.BytesIO(pictures[0])))
    kernel = before[0]
    np.testing.assert_array_equal(
        pixels, np.round((kernel - kernel.min()) * (255 / (kernel.max() - kernel.min())))
    )


def test_writing_gradients_changes_nothing(tmp_path, classes):
    x, y = classes

    def train(*callbacks):
        lamina.utils.set_random_seed(3)
        model = lamina.Sequential(
            [layers.Input((4,)), layers.Dense(4), layers.Dropout(0.5), layers.Dense(3, "softmax")]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model.fit(x, y, epochs=3, callbacks=list(callbacks), verbose=0).history

    board = TensorBoard(tmp_path, histogram_freq=1, write_gradients=True, update_freq="batch")
    assert train(board) == train()


def test_the_graphs_are_those_of_the_model_and_of_the_step(tmp_path, classifier, classes):
    classifier.fit(*classes, callbacks=[TensorBoard(tmp_path)], verbose=0)
    events = read(tmp_path / "train")
    (text,) = make_ndarray(events.Tensors("keras")[0].tensor_proto).reshape(-1)
    assert json.loads(text) == json.loads(classifier.to_json())
    names = [node.name.split("/")[-1] for node in keras_model_to_graph_def(json.loads(text)).node]
    assert [layer.name for layer in classifier.layers] == names[1:]
    graph = GraphDef.FromString(events.Graph().SerializeToString())
    operations = {node.op for node in graph.node}
    assert {"input", "dot", "maximum", "sqrt"} <= operations
    known = {node.name for node in graph.node}
    assert all(source.split(":")[0] in known for node in graph.node for source in node.input)


def test_models_without_a_config_have_a_step_only(tmp_path, classes):
    class Own(lamina.Model):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, x):
            return self.inner(x)

    model = Own(layers.Dense(3, "softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(*classes, callbacks=[TensorBoard(tmp_path)], verbose=0)
    assert any(
        node.op == "dot"
        for node in GraphDef.FromString(read(tmp_path / "train").Graph().SerializeToString()).node
    )


def test_embeddings_go_to_the_projector(tmp_path):
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    model = lamina.Sequential(
        [
            layers.Input((2,), dtype="int32"),
            layers.Embedding(5, 3, name="words"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    board = TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata="names.tsv", write_graph=False)
    ids = np.array([[0, 1], [2, 3]])
    model.fit(ids, np.ones((2, 1)), callbacks=[board], verbose=0)
    described = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = described.embeddings
    assert (embedding.tensor_name, embedding.metadata_path) == ("words", "names.tsv")
    table = np.loadtxt(tmp_path / embedding.tensor_path)
    np.testing.assert_allclose(table, model.get_layer("words").embeddings.numpy(), rtol=1e-5)
    wrong = TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata={"word": "names.tsv"})
    with pytest.raises(ArgumentError, match="names 'word', which is no Embedding layer"):
        model.fit(ids, np.ones((2, 1)), callbacks=[wrong], verbose=0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5,), (1, 1, 5, 1)), ((7, 3), (1, 3, 7, 1)), ((2, 3, 4), (4, 2, 3, 1)), ((2, 5, 5, 3), (2, 5, 5, 3))],
)
def test_weights_as_images(shape, expected):
    assert as_images(np.zeros(shape)).shape == expected
    assert as_images(np.zeros((3, 3, 8, 16))) is None


def test_without_the_package_it_says_so(tmp_path, classifier, classes, monkeypatch):
    import_it = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.startswith("tensorboard"):
            raise ImportError(name)
        return import_it(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    before = classifier.get_weights()
    with pytest.raises(StateError, match=r'needs the package tensorboard[\s\S]*pip install "lamina'):
        classifier.fit(*classes, callbacks=[TensorBoard(tmp_path)], verbose=0)
    np.testing.assert_array_equal(classifier.get_weights()[0], before[0])


def test_wrong_arguments():
    with pytest.raises(ArgumentError, match="update_freq must be 'epoch', 'batch' or a number"):
        TensorBoard(update_freq=0)
    with pytest.warns(UserWarning, match="writes no profile"):
        TensorBoard(profile_batch=(2, 4))
