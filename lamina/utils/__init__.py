"""Helpers with the names of `keras.utils`."""

from lamina.config import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from lamina.core.dtypes import standardize as standardize_dtype
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
from lamina.models.feature_space import FeatureSpace
from lamina.random import set_random_seed
from lamina.training import pack_x_y_sample_weight, unpack_x_y_sample_weight
from lamina.training.py_dataset import PyDataset
from lamina.training.py_dataset import PyDataset as Sequence
from lamina.utils import bounding_boxes
from lamina.utils.downloads import get_file
from lamina.utils.drawing import model_to_dot, plot_model
from lamina.utils.image_folders import image_dataset_from_directory
from lamina.utils.images import array_to_img, img_to_array, load_img, save_img
from lamina.utils.named_values import Config
from lamina.utils.numerical import normalize, to_categorical
from lamina.utils.progbar import Progbar
from lamina.utils.sequences import pad_sequences, timeseries_dataset_from_array
from lamina.utils.session import clear_session, get_source_inputs, is_keras_tensor
from lamina.utils.sound_folders import audio_dataset_from_directory
from lamina.utils.split import split_dataset
from lamina.utils.text_folders import text_dataset_from_directory

__all__ = [
    "Config",
    "CustomObjectScope",
    "FeatureSpace",
    "Progbar",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "audio_dataset_from_directory",
    "bounding_boxes",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "image_dataset_from_directory",
    "img_to_array",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "model_to_dot",
    "load_img",
    "normalize",
    "pack_x_y_sample_weight",
    "plot_model",
    "pad_sequences",
    "register_keras_serializable",
    "register_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
