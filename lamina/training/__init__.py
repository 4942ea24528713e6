"""F6: training - the step, the loop, the data, callbacks. Models inherit `Trainer` from here."""

from lamina.training.callbacks import Callback, CallbackList, EarlyStopping, History
from lamina.training.data import pack_x_y_sample_weight, unpack_x_y_sample_weight
from lamina.training.trainer import Trainer

__all__ = [
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "Trainer",
    "pack_x_y_sample_weight",
    "unpack_x_y_sample_weight",
]
