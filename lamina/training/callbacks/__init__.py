"""Callbacks: what is told about the course of training, and may end it."""

from lamina.training.callbacks.base import Callback, CallbackList
from lamina.training.callbacks.history import History
from lamina.training.callbacks.progress import ProgbarLogger
from lamina.training.callbacks.simple import LambdaCallback, LearningRateScheduler
from lamina.training.callbacks.stopping import EarlyStopping, MonitorCallback, TerminateOnNaN

__all__ = [
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "MonitorCallback",
    "ProgbarLogger",
    "TerminateOnNaN",
]
