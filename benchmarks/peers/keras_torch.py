"""Keras 3 on PyTorch: the script of `keras_jax`; the harness chooses the backend."""

from benchmarks.peers.keras_jax import prepare as prepare
