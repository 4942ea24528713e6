"""Configs of objects: round trips, Keras' JSON, and the refusal to load what nobody registered."""

import json
import sys

import numpy as np
import pytest

from lamina.core import serialization
from lamina.core.errors import ArgumentError, StateError
from lamina.core.serialization import (
    Registry,
    custom_object_scope,
    deserialize_object,
    get_registered_name,
    get_registered_object,
    register_serializable,
    serialize_object,
)


class Scale:
    def __init__(self, factor=1.0, inner=None):
        self.factor = factor
        self.inner = inner

    def get_config(self):
        return {"factor": self.factor, "inner": serialize_object(self.inner)}

    @classmethod
    def from_config(cls, config):
        return cls(config["factor"], deserialize_object(config["inner"]))


def double(x):
    return 2 * x


def make_builtin(name, room):
    """A class that looks as if it lived in lamina.<room>."""
    members = {"__module__": f"lamina.{room}.inner", "__init__": Scale.__init__}
    return type(name, (Scale,), members)


@pytest.fixture(autouse=True)
def restore_global_tables(monkeypatch):
    monkeypatch.setattr(serialization, "_custom_objects", {})
    monkeypatch.setattr(serialization, "_custom_names", {})
    monkeypatch.setattr(serialization, "_builtins", {})


@pytest.fixture
def registry():
    made = Registry("scaler")
    made.register(make_builtin("Scaler", "scalers"), "scaler", "sc")
    return made


def through_json(description):
    return json.loads(json.dumps(description))


@pytest.mark.parametrize(
    "plain", [None, True, 3, 2.5, "text", [1, [2, None]], {"a": {"b": [1]}}, b"bytes", slice(1, None, 2), ...]
)
def test_plain_values_round_trip(plain):
    assert deserialize_object(through_json(serialize_object(plain))) == plain


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "bfloat16"])
def test_arrays_round_trip(dtype):
    from lamina.core.dtypes import to_numpy

    array = np.arange(6).reshape(2, 3).astype(to_numpy(dtype))
    back = deserialize_object(through_json(serialize_object(array)))
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_numpy_scalars_become_numbers():
    assert serialize_object(np.float32(0.5)) == 0.5
    assert type(serialize_object(np.int64(3))) is int


def test_builtin_round_trip_and_form(registry):
    description = serialize_object(registry.get("scaler"))
    assert description["module"] == "lamina.scalers"
    assert description["class_name"] == "Scaler"
    assert description["registered_name"] is None
    assert type(deserialize_object(through_json(description))) is registry.find("Scaler")


def test_keras_module_names_are_understood(registry):
    config = {
        "module": "keras.src.scalers.scaler",
        "class_name": "Scaler",
        "config": {"factor": 3, "inner": None},
    }
    assert deserialize_object(config).factor == 3


def test_module_tells_namesakes_apart():
    losses, metrics = Registry("loss"), Registry("metric")
    loss = losses.register(make_builtin("Error", "losses"))
    metric = metrics.register(make_builtin("Error", "metrics"))
    config = {"class_name": "Error", "config": {"factor": 1, "inner": None}}
    assert type(deserialize_object({**config, "module": "keras.losses"})) is loss
    assert type(deserialize_object({**config, "module": "lamina.metrics"})) is metric
    assert type(losses.get(config)) is loss
    with pytest.raises(ArgumentError, match="ambiguous: it lives in losses and metrics"):
        deserialize_object(config)


def test_registered_class_nests_and_round_trips():
    register_serializable("mine")(Scale)
    description = through_json(serialize_object(Scale(2.0, Scale(3.0))))
    assert description["registered_name"] == "mine>Scale"
    back = deserialize_object(description)
    assert (back.factor, back.inner.factor) == (2.0, 3.0)


def test_registered_function_round_trips():
    register_serializable("mine", name="twice")(double)
    assert get_registered_name(double) == "mine>twice"
    assert get_registered_object("mine>twice") is double
    description = through_json(serialize_object(double))
    assert description["config"] == "mine>twice"
    assert deserialize_object(description) is double


def test_scope_and_argument_supply_custom_objects():
    description = through_json(serialize_object(Scale(2.0)))
    assert deserialize_object(description, custom_objects={"Scale": Scale}).factor == 2.0
    with custom_object_scope({"Scale": Scale}):
        with custom_object_scope({"double": double}):
            assert deserialize_object(description).factor == 2.0
            assert deserialize_object(serialize_object(double)) is double
        assert get_registered_object("double") is None
    assert get_registered_object("Scale") is None


def test_unregistered_things_are_refused_and_nothing_is_imported(tmp_path, monkeypatch):
    (tmp_path / "hostile_module.py").write_text("class Thing: pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    named = {"module": "hostile_module", "class_name": "Thing", "config": {}, "registered_name": "Thing"}
    with pytest.raises(ArgumentError, match="'Thing' of module 'hostile_module', which is not registered"):
        deserialize_object(named)
    with pytest.raises(ArgumentError, match="'system' of module 'os', which is not registered"):
        deserialize_object({"module": "os", "class_name": "function", "config": "system"})
    assert "hostile_module" not in sys.modules


def test_foreign_module_cannot_pose_as_builtin(registry):
    with pytest.raises(ArgumentError, match="not registered"):
        deserialize_object({"module": "elsewhere", "class_name": "Scaler", "config": {}})


@pytest.mark.parametrize("safe_mode", [True, False])
def test_lambdas_are_refused_on_load(safe_mode):
    description = through_json(serialize_object(lambda x: x))
    with pytest.raises(StateError, match=r"lambda.*\n.*named function"):
        deserialize_object(description, safe_mode=safe_mode)
    keras_form = {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}
    with pytest.raises(StateError, match="never runs code"):
        deserialize_object(keras_form, safe_mode=safe_mode)


def test_registry_takes_names_classes_configs_and_objects(registry):
    cls = registry.find("Scaler")
    assert registry.get(None) is None
    for identifier in (
        "Scaler",
        "scaler",
        "SCALER",
        "sc",
        cls,
        {"class_name": "Scaler", "config": {"factor": 1, "inner": None}},
    ):
        assert type(registry.get(identifier)) is cls
    thing = Scale()
    assert registry.get(thing) is thing
    assert registry.get(double) is double
    assert registry.names() == ["Scaler", "sc", "scaler"]


def test_registry_serializes_builtin_functions_by_name():
    registry = Registry("activation")
    function = type(double)(double.__code__, {}, "triple")
    function.__module__ = "lamina.activations"
    registry.register(function)
    assert registry.serialize(function) == "triple"
    assert registry.deserialize("triple") is function
    assert deserialize_object(through_json(serialize_object(function))) is function
    assert registry.serialize(double)["registered_name"] == "double"
    assert registry.deserialize(registry.serialize(double), custom_objects={"double": double}) is double


def test_registry_errors(registry):
    with pytest.raises(ArgumentError, match=r"Unknown scaler 'scalr'.*\n.*\n.*did you mean 'scaler'"):
        registry.get("scalr")
    with pytest.raises(ArgumentError, match="Cannot make a scaler from 3"):
        registry.get(3)
    with pytest.raises(ArgumentError, match="does not describe a scaler"):
        registry.get({"factor": 1})
    with pytest.raises(ArgumentError, match=r"Scalr.*not registered.*\n.*Did you mean 'scaler'"):
        registry.get({"class_name": "Scalr", "config": {}})
    with pytest.raises(ArgumentError, match="already a scaler named 'sc'"):
        registry.register(make_builtin("Other", "scalers"), "sc")


def test_wrong_config_names_the_class_and_its_entries():
    class Strict:
        def __init__(self, units):
            self.units = units

        def get_config(self):
            return {"unit": self.units}

        @classmethod
        def from_config(cls, config):
            return cls(**config)

    with pytest.raises(ArgumentError, match=r"Cannot make a Strict.*unit.*\n.*config with unit"):
        deserialize_object(serialize_object(Strict(3)), custom_objects={"Strict": Strict})


@pytest.mark.parametrize("target", [object(), Scale, {1, 2}])
def test_what_cannot_be_serialized_says_so(target):
    with pytest.raises(ArgumentError, match="Cannot serialize"):
        serialize_object(target)


def test_registering_a_class_without_config_is_refused():
    with pytest.raises(ArgumentError, match="get_config"):
        register_serializable()(type("Bare", (), {}))


def test_build_and_compile_configs_travel():
    class Built(Scale):
        built = False
        compiled_with = None

        def get_build_config(self):
            return {"input_shape": [None, 4]}

        def build_from_config(self, config):
            self.built_for = config["input_shape"]

        def get_compile_config(self):
            return {"loss": "mse"}

        def compile_from_config(self, config):
            self.compiled_with = config["loss"]

    back = deserialize_object(through_json(serialize_object(Built())), custom_objects={"Built": Built})
    assert back.built is True
    assert back.built_for == [None, 4]
    assert back.compiled_with == "mse"
