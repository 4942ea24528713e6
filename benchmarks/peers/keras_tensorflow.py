"""Keras 3 on TensorFlow: the script of `keras_jax`; the harness chooses the backend, and the Python."""

from benchmarks.peers.keras_jax import prepare as prepare
