"""Layers that make one tensor of several, and their functional forms (`add([x, y])`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamina import ops
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir import primitives as p
from lamina.layers import shapes
from lamina.layers.arguments import integers
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer
from lamina.layers.masks import get_mask
from lamina.layers.registry import REGISTRY
from lamina.layers.shapes import Shape
from lamina.ops.convert import promote


class Merge(Layer):
    """Base of the layers that combine a list of tensors element by element.

    Shapes are broadcast behind the batch: (batch, 3) with (batch, 5, 3) gives (batch, 5, 3). Masked entries
    take no part where the operation allows it, and the output's mask is the union of the masks.
    """

    _needs_build = False
    _least_inputs = 1
    _most_inputs: int | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        self._check_list(inputs)
        rank = max(len(tensor.shape) for tensor in inputs)
        return self._merge_function([_with_rank(tensor, rank) for tensor in inputs])

    def _merge_function(self, inputs: list[Any]) -> Any:
        """Combine tensors of one rank. Written by subclasses."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Any:
        self._check_list(input_shape)
        batches = {shape[0] for shape in input_shape if len(shape)} - {None, 1}
        if len(batches) > 1:
            raise ShapeError(
                f"{describe_layer(self)} cannot merge batches of different sizes.",
                got=" and ".join(map(str, input_shape)),
            )
        rest = shapes.broadcast([tuple(shape[1:]) for shape in input_shape], describe_layer(self))
        ones = {shape[0] for shape in input_shape if len(shape)}
        return (batches.pop() if batches else None if None in ones else 1, *rest)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None or any(entry is None for entry in mask):
            return None
        union = mask[0]
        for entry in mask[1:]:
            union = ops.logical_or(union, entry)
        return union

    def _check_list(self, inputs: Any) -> None:
        many = isinstance(inputs, (list, tuple)) and not (inputs and shapes.is_shape(inputs))
        enough = many and len(inputs) >= self._least_inputs
        if not enough or (self._most_inputs is not None and len(inputs) > self._most_inputs):
            exactly = self._least_inputs == self._most_inputs
            raise ArgumentError(
                f"{describe_layer(self)} merges a list of tensors.",
                expected=f"a list of {'exactly' if exactly else 'at least'} {self._least_inputs}",
                got=f"a list of {len(inputs)}" if many else "a single tensor",
                fix=f"{type(self).__name__}()([x, y])",
            )

    def _fold(self, combine: Callable[[Any, Any], Any], inputs: list[Any]) -> Any:
        """Combine from left to right; where one side is masked, the other one counts."""
        result, result_mask = inputs[0], _full_mask(inputs[0])
        for tensor in inputs[1:]:
            mask = _full_mask(tensor)
            if mask is not None:
                tensor = ops.where(mask, tensor, result)
            if result_mask is not None:
                result = ops.where(result_mask, result, tensor)
            result = combine(result, tensor)
            both = mask is not None and result_mask is not None
            result_mask = ops.logical_or(mask, result_mask) if both else None
        return result


@REGISTRY.register
class Add(Merge):
    """The sum of the inputs.

    >>> Add()([np.ones((2, 3)), np.ones((2, 3))])[0]
    Array([2., 2., 2.], dtype=float32)
    """

    def _merge_function(self, inputs: list[Any]) -> Any:
        total = inputs[0]
        for tensor in inputs[1:]:
            total = ops.add(total, tensor)
        return total


@REGISTRY.register
class Subtract(Merge):
    """The first input minus the second; exactly two."""

    _least_inputs = _most_inputs = 2

    def _merge_function(self, inputs: list[Any]) -> Any:
        return ops.subtract(inputs[0], inputs[1])


@REGISTRY.register
class Multiply(Merge):
    """The product of the inputs. Masked entries count as 1; where all are masked, the product is 0."""

    def _merge_function(self, inputs: list[Any]) -> Any:
        masks = [_full_mask(tensor) for tensor in inputs]
        product = None
        for tensor, mask in zip(inputs, masks):
            factor = tensor if mask is None else ops.where(mask, tensor, 1)
            product = factor if product is None else ops.multiply(product, factor)
        if any(mask is None for mask in masks):
            return product
        real = masks[0]
        for mask in masks[1:]:
            real = ops.logical_or(real, mask)
        return ops.where(real, product, 0)


@REGISTRY.register
class Average(Add):
    """The mean of the inputs."""

    def _merge_function(self, inputs: list[Any]) -> Any:
        return ops.divide(super()._merge_function(inputs), len(inputs))


@REGISTRY.register
class Maximum(Merge):
    """The element-wise maximum of the inputs."""

    def _merge_function(self, inputs: list[Any]) -> Any:
        return self._fold(ops.maximum, inputs)


@REGISTRY.register
class Minimum(Merge):
    """The element-wise minimum of the inputs."""

    def _merge_function(self, inputs: list[Any]) -> Any:
        return self._fold(ops.minimum, inputs)


@REGISTRY.register
class Concatenate(Merge):
    """The inputs side by side along `axis`; all other extents must be equal. ShapeError when they are not.

    >>> Concatenate()([np.zeros((2, 3)), np.zeros((2, 4))]).shape
    (2, 7)
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        (self.axis,) = integers(axis, "axis", self)

    def call(self, inputs: Any) -> Any:
        self.compute_output_shape(
            [tensor.shape for tensor in inputs] if isinstance(inputs, (list, tuple)) else inputs
        )
        return ops.concatenate(inputs, axis=self.axis)

    def compute_output_shape(self, input_shape: Any) -> Any:
        self._check_list(input_shape)
        first = tuple(input_shape[0])
        if not -len(first) <= self.axis < len(first):
            raise ShapeError(f"{describe_layer(self)}: axis {self.axis} is outside shape {first}.")
        axis = self.axis % len(first)
        result: list[int | None] = list(first)
        for shape in input_shape[1:]:
            fits = len(shape) == len(first) and all(
                place == axis or one is None or other is None or one == other
                for place, (one, other) in enumerate(zip(result, shape))
            )
            if not fits:
                raise ShapeError(
                    f"{describe_layer(self)} cannot put its inputs side by side.",
                    expected=f"equal extents everywhere but along axis {axis}",
                    got=f"shapes {' and '.join(map(str, input_shape))}",
                )
            for place, extent in enumerate(shape):
                mine = result[place]
                if place == axis:
                    result[place] = None if mine is None or extent is None else mine + extent
                elif mine is None:
                    result[place] = extent
        return tuple(result)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None or all(entry is None for entry in mask):
            return None
        full = [
            ops.ones_like(tensor, dtype="bool")
            if entry is None
            else ops.broadcast_to(_last_axis(entry, tensor), tensor.shape)
            for tensor, entry in zip(inputs, mask)
        ]
        return ops.any(ops.concatenate(full, axis=self.axis), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


@REGISTRY.register
class Dot(Merge):
    """The dot product of two inputs, example by example, along one axis of each.

    (batch, ..., n, ...) and (batch, ..., n, ...) -> (batch, remaining axes of the first, of the second); the
    result of two matrices is (batch, 1). axes: one axis for both or a pair, counted with the batch (which it
    cannot be). normalize: make both of length 1 first, which gives the cosine.
    Raises ArgumentError for bad axes, ShapeError when the extents differ.

    >>> Dot(axes=1)([np.ones((2, 3)), np.ones((2, 3))]).shape
    (2, 1)
    """

    _least_inputs = _most_inputs = 2

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        listed = integers(axes, "axes", self)
        if len(listed) != (1 if isinstance(axes, int) else 2) or 0 in listed:
            raise ArgumentError(
                f"{describe_layer(self)} cannot have axes={axes!r}.",
                expected="one axis, or a pair of them; not 0, which is the batch",
            )
        self.axes = axes if isinstance(axes, int) else listed
        self.normalize = normalize

    def call(self, inputs: Any) -> Any:
        shape = self.compute_output_shape([tuple(tensor.shape) for tensor in inputs])
        first, second = promote(*inputs)
        one, other = self._axes_for(first.shape, second.shape)
        if self.normalize:
            first, second = ops.normalize(first, axis=one), ops.normalize(second, axis=other)
        product = p.dot(first, second, contract=((one,), (other,)), batch=((0,), (0,)))
        return product if product.shape == shape else ops.reshape(product, shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        self._check_list(input_shape)
        first, second = (tuple(shape) for shape in input_shape)
        one, other = self._axes_for(first, second)
        if None not in (first[one], second[other]) and first[one] != second[other]:
            raise ShapeError(
                f"{describe_layer(self)} cannot multiply shapes {first} and {second}.",
                expected=f"equal extents at axis {one} of the first and axis {other} of the second",
                got=f"{first[one]} and {second[other]}",
            )
        batch = first[0] if first[0] is not None else second[0]
        rest = (*first[1:one], *first[one + 1 :], *second[1:other], *second[other + 1 :])
        return (batch, *(rest or (1,)))

    def _axes_for(self, first: Shape, second: Shape) -> tuple[int, int]:
        one, other = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        for axis, shape in ((one, first), (other, second)):
            if not -len(shape) < axis < len(shape):
                raise ShapeError(f"{describe_layer(self)}: axis {axis} is outside shape {shape}.")
        return one % len(first), other % len(second)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def _with_rank(tensor: Any, rank: int) -> Any:
    """`tensor` with axes of extent 1 put in behind the batch."""
    missing = rank - len(tensor.shape)
    return ops.reshape(tensor, (tensor.shape[0], *(1,) * missing, *tensor.shape[1:])) if missing else tensor


def _full_mask(tensor: Any) -> Any:
    """The mask a tensor carries, in the tensor's shape."""
    mask = get_mask(tensor)
    return None if mask is None else ops.broadcast_to(_last_axis(mask, tensor), tensor.shape)


def _last_axis(mask: Any, tensor: Any) -> Any:
    return ops.expand_dims(mask, -1) if len(mask.shape) < len(tensor.shape) else mask


def add(inputs: Any, **kwargs: Any) -> Any:
    """`Add(**kwargs)(inputs)`"""
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """`Subtract(**kwargs)(inputs)`"""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """`Multiply(**kwargs)(inputs)`"""
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """`Average(**kwargs)(inputs)`"""
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """`Maximum(**kwargs)(inputs)`"""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """`Minimum(**kwargs)(inputs)`"""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """`Concatenate(axis, **kwargs)(inputs)`"""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs: Any, axes: int | Sequence[int] = -1, **kwargs: Any) -> Any:
    """`Dot(axes, **kwargs)(inputs)`"""
    return Dot(axes=axes, **kwargs)(inputs)
