"""Activation functions as layers. All keep the shape of their input."""

from __future__ import annotations

from typing import Any

from lamina import activations, constraints, initializers, ops, regularizers
from lamina.core.errors import ArgumentError, ShapeError
from lamina.layers.arguments import integers, number
from lamina.layers.elementwise import Elementwise
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY


@REGISTRY.register
class Activation(Elementwise):
    """`activation(inputs)`, for an activation by name ("relu") or any function of tensors.

    Raises ArgumentError for an unknown name.

    >>> Activation("relu")(np.array([-1.0, 2.0]))
    Array([0., 2.], dtype=float32)
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


@REGISTRY.register
class ReLU(Elementwise):
    """`max(x, 0)`, and more generally

        max_value                      where x >= max_value
        x                              where threshold <= x < max_value
        negative_slope * (x - threshold)   where x < threshold

    None for `max_value` means no upper limit. ArgumentError for negative or non-finite numbers.
    Source: Nair and Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines" (ICML 2010).

    >>> ReLU(max_value=6.0)(np.array([-1.0, 2.0, 9.0]))
    Array([0., 2., 6.], dtype=float32)
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else number(max_value, "max_value", self, low=0)
        self.negative_slope = number(negative_slope, "negative_slope", self, low=0)
        self.threshold = number(threshold, "threshold", self, low=0)

    def call(self, inputs: Any) -> Any:
        return activations.relu(
            inputs, negative_slope=self.negative_slope, max_value=self.max_value, threshold=self.threshold
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


@REGISTRY.register
class LeakyReLU(Elementwise):
    """`x` where x >= 0, `negative_slope * x` elsewhere. ArgumentError for a negative slope.

    Source: Maas, Hannun and Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models" (2013).

    >>> LeakyReLU(negative_slope=0.5)(np.array([-1.0, 2.0]))
    Array([-0.5,  2. ], dtype=float32)
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.negative_slope = number(negative_slope, "negative_slope", self, low=0)

    def call(self, inputs: Any) -> Any:
        return activations.leaky_relu(inputs, negative_slope=self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}


@REGISTRY.register
class PReLU(Layer):
    """`x` where x >= 0, `alpha * x` elsewhere, with a learned `alpha`.

    (batch, *shape) -> (batch, *shape). Weight: alpha, of the shape without the batch and with 1 along
    `shared_axes` (axes counted with the batch, for example (1, 2) to share over the area of an image).
    Source: He et al., "Delving Deep into Rectifiers" (2015).

    >>> PReLU(alpha_initializer="ones")(np.array([[-1.0, 2.0]]))
    Array([[-1.,  2.]], dtype=float32)
    """

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = None if shared_axes is None else list(integers(shared_axes, "shared_axes", self))
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        shared = self.shared_axes or []
        for axis in shared:
            if not 1 <= axis < len(input_shape):
                raise ShapeError(
                    f"{describe_layer(self)} cannot share axis {axis} of shape {tuple(input_shape)}.",
                    expected=f"axes from 1 to {len(input_shape) - 1}",
                )
        extents = [1 if axis in shared else extent for axis, extent in enumerate(input_shape)]
        self.alpha = self.add_weight(
            name="alpha",
            shape=extents[1:],
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        fixed = {axis: input_shape[axis] for axis in range(1, len(input_shape)) if axis not in shared}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=fixed)

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs) - ops.multiply(self.alpha, activations.relu(-inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }


@REGISTRY.register
class ELU(Elementwise):
    """`x` where x >= 0, `alpha * (exp(x) - 1)` elsewhere.

    Source: Clevert et al., "Fast and Accurate Deep Network Learning by Exponential Linear Units" (2015).

    >>> ELU()(np.array([-1.0, 2.0]))
    Array([-0.63212055,  2.        ], dtype=float32)
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = number(alpha, "alpha", self)

    def call(self, inputs: Any) -> Any:
        return activations.elu(inputs, alpha=self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


@REGISTRY.register
class Softmax(Elementwise):
    """`exp(x) / sum(exp(x))` along `axis`, an axis or a tuple of axes.

    A boolean `mask`, broadcast over the inputs, leaves out the entries where it is False.

    >>> Softmax()(np.array([[1.0, 1.0, 9.0]]), mask=np.array([[True, True, False]]))
    Array([[0.5, 0.5, 0. ]], dtype=float32)
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        axes = integers(axis, "axis", self)
        if not axes:
            raise ArgumentError(f"{describe_layer(self)} needs at least one axis.")
        self.axis = axes[0] if isinstance(axis, int) else list(axes)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        axes = self.axis if isinstance(self.axis, int) else tuple(self.axis)
        if mask is None:
            return activations.softmax(inputs, axis=axes)
        # Very negative instead of minus infinity: a row that is masked altogether becomes 0, not NaN.
        kept = ops.cast(mask, "bool")
        lowest = -3e4 if str(inputs.dtype) == "float16" else -1e9
        return ops.where(kept, activations.softmax(ops.where(kept, inputs, lowest), axis=axes), 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
