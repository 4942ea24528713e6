"""Shared by all tests: real Keras on JAX as the judge, and a code cache of its own for each run."""

import os
import tempfile
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("LAMINA_CACHE_DIR", tempfile.mkdtemp(prefix="lamina-test-cache-"))

import numpy as np
import pytest


@pytest.fixture(scope="session")
def real_keras():
    """Keras 3 itself, on JAX."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
    return keras


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)
