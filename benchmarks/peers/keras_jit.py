"""Keras 3 on JAX, with the step jitted by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from benchmarks.peers import generation, transformers


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    return generation.by_jit(transformers.build(keras, task), task)
