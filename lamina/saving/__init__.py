"""Names of `keras.saving`: models and weights in files, and what files may name."""

from lamina.core.serialization import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_serializable,
)
from lamina.core.serialization import custom_object_scope as CustomObjectScope  # noqa: N812 - Keras' name
from lamina.core.serialization import deserialize_object as deserialize_keras_object
from lamina.core.serialization import register_serializable as register_keras_serializable
from lamina.core.serialization import serialize_object as serialize_keras_object
from lamina.saving.model_files import load_model, save_model
from lamina.saving.weight_files import load_weights, save_weights

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "register_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]
