"""EinsumDense: a dense layer along any axes, described by an einsum equation."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from lamina import activations, constraints, initializers, ops, regularizers
from lamina.core.errors import ArgumentError, ShapeError
from lamina.layers.dense import weight_config, without_quantization
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY
from lamina.layers.shapes import Shape

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


@REGISTRY.register
class EinsumDense(Layer):
    """`activation(einsum(equation, inputs, kernel) + bias)`.

    equation: "ab,bc->ac", "...x,xy->...y" or "ab...,bc->ac...": inputs, kernel, outputs.
    output_shape: extents of the output's letters without the batch (and without what "..." stands for); None
    where the input tells.
    bias_axes: the output letters that have a bias of their own; None for no bias. The rest is as in Dense.
    Weights: kernel, with one axis per letter; bias.
    Raises ArgumentError for an equation that makes no sense, ShapeError for inputs that do not fit it.

    >>> EinsumDense("abc,cd->abd", output_shape=(None, 8), bias_axes="d")(np.zeros((2, 3, 4))).shape
    (2, 3, 8)
    """

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.equation = equation
        self.partial_output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self._parsed = _parse(self)

    def build(self, input_shape: Any) -> None:
        shapes = _resolve(self, tuple(input_shape))
        self.kernel = self.add_weight(
            name="kernel",
            shape=shapes.kernel,
            initializer=_with_axes(
                self.kernel_initializer, shapes.kernel_input_axes, shapes.kernel_output_axes
            ),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = (
            None
            if shapes.bias is None
            else self.add_weight(
                name="bias",
                shape=shapes.bias,
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        )
        self.input_spec = InputSpec(ndim=len(input_shape))

    def call(self, inputs: Any, training: Any = None) -> Any:
        outputs = ops.einsum(self.equation, inputs, self.kernel)
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return _resolve(self, tuple(input_shape)).output

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "equation": self.equation,
            "output_shape": self.partial_output_shape,
            "activation": activations.serialize(self.activation),
            "bias_axes": self.bias_axes,
            **weight_config(self),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return super().from_config(without_quantization(config))


@dataclass(frozen=True)
class _Equation:
    """Letters of the three operands, and the side of the inputs and outputs on which "..." stands, if any."""

    inputs: str
    kernel: str
    outputs: str
    ellipsis: str | None


@dataclass(frozen=True)
class _Shapes:
    kernel: Shape
    bias: Shape | None
    output: Shape
    kernel_input_axes: tuple[int, ...]
    kernel_output_axes: tuple[int, ...]


def _parse(layer: EinsumDense) -> _Equation:
    match = _EQUATION.fullmatch(layer.equation.replace(" ", ""))
    if match is None or match[1] != match[5] or match[3] != match[7] or (match[1] and match[3]):
        raise ArgumentError(
            f"{describe_layer(layer)} cannot read the equation '{layer.equation}'.",
            expected="the form 'ab,bc->ac', '...ab,bc->...ac' or 'ab...,bc->ac...'",
        )
    inputs, kernel, outputs = match[2], match[4], match[6]
    for letter in outputs:
        if letter not in inputs + kernel:
            raise ArgumentError(
                f"{describe_layer(layer)}: output axis '{letter}' of '{layer.equation}' comes from nowhere."
            )
    for letter in kernel:
        if letter not in inputs + outputs:
            raise ArgumentError(
                f"{describe_layer(layer)}: kernel axis '{letter}' of '{layer.equation}' meets no other axis."
            )
    for letter in layer.bias_axes or "":
        if letter not in outputs:
            raise ArgumentError(
                f"{describe_layer(layer)}: bias axis '{letter}' is not an axis of the output '{outputs}'."
            )
    return _Equation(inputs, kernel, outputs, "left" if match[1] else "right" if match[3] else None)


def _resolve(layer: EinsumDense, input_shape: Shape) -> _Shapes:
    equation = layer._parsed
    hidden = len(input_shape) - len(equation.inputs)  # axes that "..." stands for
    if hidden < 0 or (hidden and equation.ellipsis is None):
        raise ShapeError(
            f"{describe_layer(layer)}: the equation '{layer.equation}' does not fit its input.",
            expected=f"{len(equation.inputs)} axes" + (" or more" if equation.ellipsis else ""),
            got=f"shape {input_shape}",
        )
    on_left = hidden if equation.ellipsis == "left" else 0
    on_right = hidden - on_left
    output = [
        input_shape[0],
        *input_shape[1:on_left],
        *layer.partial_output_shape,
        *input_shape[len(input_shape) - on_right :],
    ]
    if len(output) != hidden + len(equation.outputs):
        raise ShapeError(
            f"{describe_layer(layer)}: output_shape does not fit the output '{equation.outputs}'.",
            expected=f"{len(equation.outputs) - (on_left == 0)} of them, without the batch",
            got=str(layer.partial_output_shape),
        )
    of_input = dict(zip(equation.inputs, input_shape[on_left : len(input_shape) - on_right]))
    position = {letter: place + on_left for place, letter in enumerate(equation.outputs)}
    for letter, place in position.items():
        if output[place] is None:
            output[place] = of_input.get(letter)
        elif of_input.get(letter) not in (None, output[place]):
            raise ShapeError(
                f"{describe_layer(layer)}: axis '{letter}' of '{layer.equation}' has two extents.",
                got=f"{of_input[letter]} in the input, {output[place]} in output_shape",
            )
    extents = {**of_input, **{letter: output[place] for letter, place in position.items()}}
    bias = None
    if layer.bias_axes:
        first = min(equation.outputs.index(letter) for letter in layer.bias_axes)
        bias = tuple(
            extents[letter] if letter in layer.bias_axes else 1 for letter in equation.outputs[first:]
        )
        bias += (1,) * on_right
    return _Shapes(
        kernel=tuple(extents[letter] for letter in equation.kernel),
        bias=bias,
        output=tuple(output),
        kernel_input_axes=tuple(
            axis for axis, letter in enumerate(equation.kernel) if letter not in position
        ),
        kernel_output_axes=tuple(axis for axis, letter in enumerate(equation.kernel) if letter in position),
    )


def _with_axes(initializer: Any, input_axes: tuple[int, ...], output_axes: tuple[int, ...]) -> Any:
    """A variance-scaling initializer that knows which kernel axes are fans."""
    if not isinstance(initializer, initializers.VarianceScaling) or initializer.input_axes is not None:
        return initializer
    informed = copy.copy(initializer)
    informed.input_axes, informed.output_axes = input_axes, output_axes
    return informed
