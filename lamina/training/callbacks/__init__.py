"""Callbacks: what is told about the course of training, and may end it."""

from lamina.training.callbacks.averages import SwapEMAWeights
from lamina.training.callbacks.backup import BackupAndRestore
from lamina.training.callbacks.base import Callback, CallbackList
from lamina.training.callbacks.checkpoint import ModelCheckpoint
from lamina.training.callbacks.history import History
from lamina.training.callbacks.plateau import ReduceLROnPlateau
from lamina.training.callbacks.progress import ProgbarLogger
from lamina.training.callbacks.records import CSVLogger, RemoteMonitor
from lamina.training.callbacks.simple import LambdaCallback, LearningRateScheduler
from lamina.training.callbacks.stopping import EarlyStopping, MonitorCallback, TerminateOnNaN
from lamina.training.callbacks.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]
