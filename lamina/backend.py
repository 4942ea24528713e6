"""What `keras.backend` offers: settings, names and dtypes. The backends are in `lamina.backends`."""

from lamina.config import (
    backend,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from lamina.core.dtypes import is_float as is_float_dtype
from lamina.core.dtypes import is_integer as is_int_dtype
from lamina.core.dtypes import result_type
from lamina.core.dtypes import standardize as standardize_dtype
from lamina.utils.session import clear_session, is_keras_tensor

__all__ = [
    "backend",
    "clear_session",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_float_dtype",
    "is_int_dtype",
    "is_keras_tensor",
    "result_type",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_dtype",
]
