"""Names of `keras.saving`: registering what configs may name, and objects as configs."""

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

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "register_keras_serializable",
    "register_serializable",
    "serialize_keras_object",
]
