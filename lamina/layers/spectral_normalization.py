"""Spectral normalisation: a wrapper that keeps the largest singular value of a layer's kernel near one."""

from __future__ import annotations

from typing import Any

from lamina import initializers, ops
from lamina.core.errors import ArgumentError
from lamina.layers.arguments import positive_integer
from lamina.layers.basic import Wrapper
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY


@REGISTRY.register
class SpectralNormalization(Wrapper):
    """While training, each call divides the kernel of `layer` by an estimate of its largest singular value.

    The kernel counts as a matrix (everything else, its last axis). The estimate comes from `power_iterations`
    steps of power iteration, starting from `vector_u`, (1, last extent), which is kept from call to call.
    The shapes are those of `layer`. Raises ArgumentError for bad `power_iterations`, or for a layer that has
    neither `kernel` nor `embeddings`.

    >>> SpectralNormalization(Dense(3))(np.ones((2, 4), "float32"), training=True).shape
    (2, 3)

    Source: T. Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (2018).
    """

    def __init__(self, layer: Layer, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.power_iterations = positive_integer(power_iterations, "power_iterations", self)

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self.kernel: Any = getattr(self.layer, "kernel", None)
        if self.kernel is None:
            self.kernel = getattr(self.layer, "embeddings", None)
        if self.kernel is None:
            raise ArgumentError(
                f"{describe_layer(self)} normalises a kernel.",
                expected="a layer with an attribute 'kernel' or 'embeddings'",
                got=describe_layer(self.layer),
            )
        self.vector_u = self.add_weight(
            name="vector_u",
            shape=(1, self.kernel.shape[-1]),
            initializer=initializers.TruncatedNormal(stddev=0.02),
            dtype=self.kernel.dtype,
            trainable=False,
        )
        self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})

    def call(self, inputs: Any, training: Any = False) -> Any:
        if training:
            # A kernel of zeros has no direction: it stays, and so does the estimate.
            empty = ops.all(ops.equal(self.kernel.value, 0))
            vector, kernel = self.normalized_weights()
            self.vector_u.assign(ops.where(empty, self.vector_u.value, vector))
            self.kernel.assign(ops.where(empty, self.kernel.value, kernel))
        return ops.cast(self.layer(inputs), inputs.dtype)

    def normalized_weights(self) -> tuple[Any, Any]:
        """The next `vector_u`, and the kernel divided by the estimated singular value."""
        kernel = self.kernel.value
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        right = self.vector_u.value
        for _ in range(self.power_iterations):
            left = _unit(ops.matmul(right, ops.transpose(matrix)))
            right = _unit(ops.matmul(left, matrix))
        left, right = ops.stop_gradient(left), ops.stop_gradient(right)
        value = ops.matmul(ops.matmul(left, matrix), ops.transpose(right))
        return right, ops.reshape(ops.divide(matrix, value), kernel.shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power_iterations": self.power_iterations}


def _unit(vector: Any) -> Any:
    return ops.normalize(vector, axis=-1)
