"""Models as boxes and arrows."""

import builtins

import pydot
import pytest

import lamina
from lamina import layers
from lamina.core.errors import ArgumentError, StateError
from lamina.utils import model_to_dot, plot_model
from lamina.utils.drawing import draw


def branching():
    inputs = layers.Input((4,), name="in")
    left = layers.Dense(3, "relu", name="left")(inputs)
    right = layers.Dense(3, name="right")(inputs)
    return lamina.Model(inputs, layers.Add(name="sum")([left, right]), name="branching")


def nested():
    inputs = layers.Input((4,), name="outer_in")
    inner = lamina.Sequential(
        [layers.Input((3,)), layers.Dense(2, name="a"), layers.Dense(1, name="b")], name="inner"
    )
    return lamina.Model(
        inputs, layers.Activation("tanh", name="last")(inner(branching()(inputs))), name="outer"
    )


def arrows(drawing):
    """(source, target) as names of layers, clusters included."""
    names, pairs = {}, []

    def collect(part):
        names.update({key: layer.name for key, layer in part.boxes})
        for cluster in part.clusters:
            collect(cluster)
        pairs.extend(part.arrows)

    collect(drawing)
    return {(names[source], names[target]) for source, target in pairs}


def test_functional_models():
    expected = {("in", "left"), ("in", "right"), ("left", "sum"), ("right", "sum")}
    assert arrows(draw(branching())) == expected


def test_chains():
    model = lamina.Sequential([layers.Input((4,)), layers.Dense(3, name="a"), layers.Dense(2, name="b")])
    assert arrows(draw(model)) == {("a", "b")}


def test_models_inside_are_one_box_or_opened():
    model = nested()
    assert arrows(draw(model)) == {("outer_in", "branching"), ("branching", "inner"), ("inner", "last")}
    opened = draw(model, expand_nested=True)
    assert [cluster.name for cluster in opened.clusters] == ["branching", "inner"]
    assert arrows(opened) == {
        *arrows(draw(branching())),
        ("outer_in", "in"),
        ("sum", "a"),
        ("a", "b"),
        ("b", "last"),
    }


def test_the_dot_says_what_was_asked_for():
    model = branching()
    model.get_layer("right").trainable = False
    dot = model_to_dot(model, True, True, rankdir="LR", show_layer_activations=True, show_trainable=True)
    labels = {node.get_label() for node in dot.get_nodes() if node.get_label()}
    assert len(dot.get_edges()) == 4
    assert dot.get_rankdir() == "LR"
    expected = [
        "left (Dense)",
        "activation: relu",
        "input: (None, 4)",
        "output: (None, 3)",
        "dtype: float32",
        "trainable: yes",
    ]
    assert any(all(text in label for text in expected) for label in labels)
    assert any("right (Dense)" in label and "trainable: no" in label for label in labels)
    assert dot.to_string().count("->") == 4


def test_clusters_and_text_files(tmp_path):
    cluster = model_to_dot(nested(), subgraph=True)
    assert isinstance(cluster, pydot.Cluster)
    assert plot_model(nested(), tmp_path / "model.dot", expand_nested=True) is None
    text = (tmp_path / "model.dot").read_text()
    assert text.count("subgraph") == 2
    assert "Dense" in text


def test_without_graphviz_or_pydot_it_says_what_to_install(tmp_path, monkeypatch):
    def missing(self, *arguments, **keywords):
        raise FileNotFoundError("dot")

    monkeypatch.setattr(pydot.Dot, "write", missing)
    with pytest.raises(StateError, match=r"Graphviz[\s\S]*graphviz.org[\s\S]*to_file='model.dot'"):
        plot_model(branching(), tmp_path / "model.png")
    import_it = builtins.__import__

    def without(name, *arguments, **keywords):
        if name == "pydot":
            raise ImportError(name)
        return import_it(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(StateError, match=r'needs the package pydot[\s\S]*pip install "lamina\[draw\]"'):
        model_to_dot(branching())


def test_wrong_arguments():
    with pytest.raises(StateError, match="is not built"):
        model_to_dot(lamina.Sequential([layers.Dense(3)]))
    with pytest.raises(ArgumentError, match="has no argument 'layer_range'"):
        model_to_dot(branching(), layer_range=["a"])
