"""The public faces of trees and configuration, against Keras."""

from collections import namedtuple

import pytest

from lamina import config, tree

Point = namedtuple("Point", ["x", "y"])
STRUCTURES = [
    1,
    None,
    "text",
    [],
    [1, [2, (3, None)], {"b": 4, "a": [5]}],
    {"z": Point(1, [2]), "a": ({"k": None},)},
    (1,),
    [[1, 2], [3]],
]


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_flatten_map_and_pack_are_those_of_keras(structure, real_keras):
    assert tree.is_nested(structure) == real_keras.tree.is_nested(structure)
    assert tree.flatten(structure) == real_keras.tree.flatten(structure)
    assert tree.flatten_with_path(structure) == real_keras.tree.flatten_with_path(structure)
    assert tree.map_structure(str, structure) == real_keras.tree.map_structure(str, structure)
    packed = tree.pack_sequence_as(structure, range(len(tree.flatten(structure))))
    assert packed == real_keras.tree.pack_sequence_as(structure, range(len(tree.flatten(structure))))
    assert type(packed) is type(structure) or not tree.is_nested(structure)
    assert tree.lists_to_tuples(structure) == real_keras.tree.lists_to_tuples(structure)
    keep_none = tree.map_structure(str, structure, none_is_leaf=False)
    assert keep_none == real_keras.tree.map_structure(str, structure, none_is_leaf=False)


@pytest.mark.parametrize("top_down", [True, False])
def test_traverse_visits_and_replaces_as_keras_does(top_down, real_keras):
    def visit(visited, none):
        def function(part):
            visited.append(part)
            if part == 2:
                return "two"
            if part == [3]:
                return none
            return None

        return function

    structure = [1, (2, [3]), {"a": 2, "b": [4]}]
    ours, theirs = [], []
    result = tree.traverse(visit(ours, tree.MAP_TO_NONE), structure, top_down=top_down)
    expected = real_keras.tree.traverse(
        visit(theirs, real_keras.tree.MAP_TO_NONE), structure, top_down=top_down
    )
    assert result == expected == [1, ("two", None), {"a": "two", "b": [4]}]
    assert ours == theirs


def test_map_over_several_and_up_to():
    assert tree.map_structure(lambda a, b: a + b, [1, {"k": 2}], [10, {"k": 20}]) == [11, {"k": 22}]
    assert tree.map_structure_up_to([None, [None, None]], str, [[1, 1], [2, [2]]]) == ["[1, 1]", ["2", "[2]"]]
    assert tree.map_shape_structure(tuple, {"a": [None, 3], "b": [[2], [4, 5]]}) == {
        "a": (None, 3),
        "b": [(2,), (4, 5)],
    }


@pytest.mark.parametrize(
    ("a", "b"),
    [([1], (1,)), ([1], [1, 2]), ({"a": 1}, {"b": 1}), (1, [1]), (Point(1, 2), (1, 2)), ([[1]], [[1, 2]])],
)
def test_different_structures_are_told_apart(a, b, real_keras):
    tree.assert_same_structure(a, a)
    for face in (tree, real_keras.tree):
        with pytest.raises(ValueError):
            face.assert_same_structure(a, b)
        with pytest.raises(ValueError):
            face.map_structure(lambda x, y: x, a, b)


def test_same_paths():
    tree.assert_same_paths([1, (2,)], (3, [4]))
    with pytest.raises(ValueError, match=r"only in the second: \[\(1,\)\]"):
        tree.assert_same_paths([1], [1, 2])


def test_packing_checks_the_number():
    with pytest.raises(ValueError, match="has 2 leaves, but 3"):
        tree.pack_sequence_as([0, 0], [1, 2, 3])
    with pytest.raises(ValueError, match="at least one"):
        tree.map_structure(str)


@pytest.fixture
def restored_settings():
    from lamina.core.config import config as record

    saved = dict(vars(record))
    yield
    for name, value in saved.items():
        setattr(record, name, value)


@pytest.mark.usefixtures("restored_settings")
def test_settings_round_trip(tmp_path):
    assert (config.floatx(), config.epsilon(), config.image_data_format()) == (
        "float32",
        1e-7,
        "channels_last",
    )
    config.set_floatx("float64")
    config.set_epsilon(1e-5)
    config.set_num_threads(2)
    config.set_cache_dir(tmp_path)
    config.set_backend("reference")
    config.set_image_data_format("channels_last")
    assert (config.floatx(), config.epsilon(), config.num_threads()) == ("float64", 1e-5, 2)
    assert (config.cache_dir(), config.backend()) == (tmp_path, "reference")
    for switch in ("interactive_logging", "traceback_filtering"):
        getattr(config, f"disable_{switch}")()
        assert getattr(config, f"is_{switch}_enabled")() is False
        getattr(config, f"enable_{switch}")()
        assert getattr(config, f"is_{switch}_enabled")() is True


@pytest.mark.usefixtures("restored_settings")
@pytest.mark.parametrize(
    ("setter", "value", "text"),
    [
        (config.set_floatx, "float33", "floatx must be one of"),
        (config.set_image_data_format, "channels_first", "channels-last"),
        (config.set_num_threads, 0, "positive whole number"),
        (config.set_num_threads, True, "positive whole number"),
    ],
)
def test_wrong_settings_are_refused(setter, value, text):
    with pytest.raises(ValueError, match=text):
        setter(value)
