"""Model: a layer that can be trained, inspected, copied and written down."""

from __future__ import annotations

import json
from typing import Any

from lamina.core.errors import ArgumentError, unknown_name
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.layers.layer import Layer
from lamina.layers.shapes import map_shapes
from lamina.models.registry import REGISTRY
from lamina.training import Trainer


@REGISTRY.register
class Model(Trainer, Layer):
    """A group of layers with training and inference. Three ways to make one:

    - From inputs and outputs: `x = Input((784,)); Model(inputs=x, outputs=Dense(10)(x))`.
    - By subclassing: make layers in `__init__`, use them in `call(self, inputs, training=None)`.
    - As a stack: `Sequential([...])`.

    >>> class Classifier(lamina.Model):
    ...     def __init__(self, classes, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.hidden = lamina.layers.Dense(64, activation="relu")
    ...         self.scores = lamina.layers.Dense(classes)
    ...
    ...     def call(self, inputs):
    ...         return self.scores(self.hidden(inputs))
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Model and _gives_graph(args, kwargs):
            from lamina.models.functional import Functional

            return super().__new__(Functional, *args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not _gives_graph(args, kwargs):
            self._begin(*args, **kwargs)
            return
        from lamina.models.functional import Functional

        _become_functional(type(self))
        Functional.__init__(self, *args, **kwargs)  # type: ignore[arg-type]

    def _begin(self, *args: Any, **kwargs: Any) -> None:
        """The constructors of the two halves."""
        Layer.__init__(self, *args, **kwargs)
        Trainer.__init__(self)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The forward pass. Written by subclasses."""
        raise NotImplementedError(
            f"Model {type(self).__name__} has no call() method: write call(self, inputs, training=None)."
        )

    # --- layers ------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers directly in this model."""
        return list(self._flatten_layers(include_self=False, recursive=False))

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer with this name, or at this place in `layers`. ArgumentError when there is none."""
        if (name is None) == (index is None):
            raise ArgumentError(
                "get_layer() takes a name or an index.", got=f"name={name!r}, index={index!r}"
            )
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ArgumentError(
                    f"Model '{self.name}' has {len(layers)} layers; there is none at index {index}."
                )
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise unknown_name("layer", name, [layer.name for layer in layers])

    # --- looking inside ----------------------------------------------------------------------------

    def summary(
        self,
        line_length: int | None = None,
        positions: list[float] | None = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: tuple[str, str] | None = None,
    ) -> None:
        """Print a table of the layers: name and type, output shape, number of parameters, connections.

        line_length: width of the table. positions: where its columns end, as fractions. print_fn: called with
        the text instead of printing it. expand_nested: show the layers of inner models. show_trainable: add a
        column. layer_range: (first, last) names or patterns of the layers to show.
        """
        from lamina.models.summary import print_summary

        print_summary(self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range)

    def __repr__(self) -> str:
        text = f"<{type(self).__name__} name={self.__dict__.get('name')}, built={self.built}"
        if not self.built:
            return text + ">"
        return text + f", layers={len(self.layers)}, parameters={self.count_params():,}>"

    def _repr_html_(self) -> str:
        from lamina.models.summary import html_summary

        return html_summary(self)

    # --- files -------------------------------------------------------------------------------------

    def save(self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any) -> None:
        """Write the model to a ".keras" file: `lamina.saving.save_model`."""
        from lamina.saving.model_files import save_model

        save_model(self, filepath, overwrite, zipped, **kwargs)

    def save_weights(
        self, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None
    ) -> None:
        """Write the weights to a ".safetensors" or ".weights.h5" file, or to several of limited size with an
        index ".weights.json": `lamina.saving.save_weights`.
        """
        from lamina.saving.weight_files import save_weights

        save_weights(self, filepath, overwrite, max_shard_size)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Take the weights from such a file, or from that of a model: `lamina.saving.load_weights`."""
        from lamina.saving.weight_files import load_weights

        load_weights(self, filepath, skip_mismatch, **kwargs)

    def export(
        self,
        filepath: Any,
        format: str = "onnx",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Write the prediction of the model to an ".onnx" file: `lamina.export.export_onnx`.

        format: "onnx" only. kwargs: opset_version.
        """
        from lamina.export import export_onnx

        if format != "onnx":
            raise ArgumentError(
                f"There is no export to the format {format!r}.",
                fix="export('model.onnx', format='onnx'), which converters read, or save('model.keras').",
            )
        export_onnx(self, filepath, input_signature, verbose=verbose, **kwargs)

    def get_state_tree(self, value_format: str = "backend_tensor") -> dict[str, Any]:
        """All values by kind and path, as nested dicts: {"trainable_variables": {"dense": {"kernel": ...}}}.

        value_format: "backend_tensor" or "numpy_array".
        """
        from lamina.models import state_tree

        return state_tree.get(self, value_format)

    def set_state_tree(self, state_tree: dict[str, Any]) -> None:
        """Give the variables the values in what `get_state_tree` returned, or a part of it."""
        from lamina.models.state_tree import put

        put(self, state_tree)

    # --- configs and copies ------------------------------------------------------------------------

    def to_json(self, **kwargs: Any) -> str:
        """The architecture, without weights, as JSON; `model_from_json` reads it. kwargs: for json.dumps."""
        return json.dumps(serialize_object(self), **kwargs)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the model as `get_build_config` described it, with the layers that its `build` leaves out."""
        super().build_from_config(config)
        shape = config.get("input_shape")
        if shape is not None and not all(layer.built for layer in self._flatten_layers()):
            with self._name_scope():
                self._trace((map_shapes(tuple, shape),), {})

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A model made from what `get_config` returned."""
        from lamina.models import graph_config
        from lamina.models.functional import Functional, takes_graph

        if {"layers", "input_layers", "output_layers"} <= config.keys() and takes_graph(cls):
            return graph_config.from_config(Functional if cls is Model else cls, config, custom_objects)
        return super().from_config(config)

    def __reduce__(self) -> Any:
        from lamina.models.functional import Functional

        return _blank, (type(self), isinstance(self, Functional)), self.__getstate__()


def model_from_json(json_string: str, custom_objects: Any = None) -> Any:
    """The model that `to_json` (ours, or that of Keras) described, with new weights.

    Raises ArgumentError when the text names something that is not registered.
    """
    model = deserialize_object(json.loads(json_string), custom_objects=custom_objects)
    if not isinstance(model, Model):
        raise ArgumentError("The JSON text does not describe a model.", got=type(model).__name__)
    return model


def _gives_graph(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the arguments of a constructor are inputs and outputs."""
    named = "outputs" in kwargs and ("inputs" in kwargs or len(args) == 1)
    return named or len(args) == 2


def _become_functional(cls: type) -> None:
    """Put Functional in the place of Model among the bases of a user's class, whose instances hold graphs."""
    from lamina.models.functional import Functional

    if issubclass(cls, Functional):
        return
    for base in cls.__bases__:
        if base is not Model and issubclass(base, Model):
            _become_functional(base)
    cls.__bases__ = tuple(Functional if base is Model else base for base in cls.__bases__)


def _blank(cls: type[Model], functional: bool) -> Model:
    """A model without contents, to be filled from a pickle or a copy."""
    if functional:
        _become_functional(cls)
    return cls.__new__(cls)
