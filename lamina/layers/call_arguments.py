"""The arguments of a layer call: turned into tensors, matched with the signature, and read as shapes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from lamina import ops
from lamina.core import dtypes, tree
from lamina.core.errors import ArgumentError, DTypeError
from lamina.ir.symbolic import KerasTensor
from lamina.ir.trace import Tensor
from lamina.layers import infer, shapes
from lamina.layers.masks import get_mask, with_mask


@lru_cache(maxsize=1024)
def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of an unbound method, without `self`."""
    parameters = list(inspect.signature(function).parameters.values())
    return inspect.Signature(parameters[1:])


def is_tensor(value: Any) -> bool:
    """A tensor of any of the three kinds: eager array, traced, or of the layer graph."""
    return isinstance(value, (np.ndarray, Tensor, KerasTensor))


def convert(structure: Any, dtype: str, autocast: bool, positional: bool) -> Any:
    """The structure with arrays as tensors, floats among them cast to `dtype` when `autocast`.

    A list or tuple of numbers is one array when `positional`, and so is a number. Everything else stays.
    """
    if positional and _is_numbers(structure):
        array = np.asarray(structure)
        structure = ops.convert_to_tensor(
            structure if array.dtype.kind != "f" else array.astype(_float(dtype))
        )
    if tree.is_branch(structure):
        if isinstance(structure, dict):
            return type(structure)(
                (key, convert(entry, dtype, autocast, positional)) for key, entry in structure.items()
            )
        children = [convert(entry, dtype, autocast, positional) for entry in structure]
        return type(structure)(*children) if hasattr(structure, "_fields") else type(structure)(children)
    return convert_leaf(structure, dtype, autocast)


def convert_leaf(value: Any, dtype: str, autocast: bool) -> Any:
    """One tensor as the layer wants it; what is no tensor stays as it is."""
    mask = get_mask(value)
    if not isinstance(value, (Tensor, KerasTensor)):
        arrayish = hasattr(value, "__tensor__") or hasattr(value, "__array__")
        if isinstance(value, (np.generic, type)) or not arrayish:
            return value
        value = ops.convert_to_tensor(value)
    if value.dtype == "string":
        raise DTypeError(
            "This layer computes with numbers, but its input is strings.",
            fix="put TextVectorization (sentences) or StringLookup (categories) in front of it.",
        )
    have = dtypes.standardize(value.dtype)
    if autocast and dtypes.is_float(have) and dtypes.is_float(dtype) and have != dtype:
        if isinstance(value, KerasTensor):
            value = KerasTensor(value.shape, dtype, name=value.name)
        else:
            value = ops.cast(value, dtype)
    return with_mask(value, mask)


def _float(dtype: str) -> Any:
    return dtypes.to_numpy(dtype if dtypes.is_float(dtype) else None)


def _is_numbers(value: Any) -> bool:
    """A number, or a nested list of nothing but numbers."""
    if isinstance(value, (list, tuple)) and value:
        return all(_is_numbers(entry) for entry in value)
    return isinstance(value, (bool, int, float, np.generic))


class CallArguments:
    """The arguments of one call by name, with defaults.

    given: those the caller passed. values: all. tensors: those that are tensors or structures of tensors.
    extra: arguments that are passed on to inner layers and not in the signature.
    """

    def __init__(
        self,
        signature: inspect.Signature,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        extra: dict[str, Any],
    ) -> None:
        bound = signature.bind(*args, **kwargs)
        self.given = frozenset(bound.arguments) | extra.keys()
        bound.apply_defaults()
        self.values: dict[str, Any] = {**bound.arguments, **extra}
        self.tensors = {name: value for name, value in self.values.items() if _holds_tensors(name, value)}

    @property
    def first(self) -> Any:
        """The value of the first argument, which is what input_spec and masks are about."""
        return next(iter(self.values.values()), None)

    def shapes(self) -> dict[str, Any]:
        """{"<argument>_shape": its shape, or structure of shapes}, masks left out."""
        return {
            f"{name}_shape": tree.map_structure(_shape_of, value)
            for name, value in self.tensors.items()
            if name not in ("mask", "args", "kwargs") and not name.endswith("_mask")
        }


def _shape_of(tensor: Any) -> Any:
    return infer.known(tensor.shape) if isinstance(tensor, Tensor) else shapes.shape_of(tensor)


def _holds_tensors(name: str, value: Any) -> bool:
    if is_tensor(value):
        return True
    if not tree.is_branch(value):
        return False
    leaves = tree.flatten(value)
    kinds = [is_tensor(leaf) for leaf in leaves if leaf is not None]
    if any(kinds) and not all(kinds) and name not in ("args", "kwargs"):
        raise ArgumentError(
            f"The call argument '{name}' mixes tensors with other things.",
            got=", ".join(type(leaf).__name__ for leaf in leaves),
            fix="pass numbers and flags as keyword arguments of their own.",
        )
    return any(kinds)


def shapes_for(method: Callable[..., Any], arguments: CallArguments, layer: Any) -> dict[str, Any]:
    """The keyword arguments for `build` or `compute_output_shape`, chosen by its signature.

    With one parameter it gets the shape of the first tensor; with several, each is `<call argument>_shape`.
    """
    by_name = arguments.shapes()
    parameters = [
        parameter
        for parameter in signature_of(method).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    if len(parameters) == 1:
        return {parameters[0].name: next(iter(by_name.values()), None)}
    chosen = {}
    for parameter in parameters:
        name = parameter.name
        if name.removesuffix("_shape") not in arguments.values or not name.endswith("_shape"):
            raise ArgumentError(
                f"{type(layer).__name__}.{method.__name__}(): no argument of call() matches '{name}'.",
                expected=f"names like {', '.join(f'{argument}_shape' for argument in arguments.values)}",
            )
        if name in by_name:
            chosen[name] = by_name[name]
    return chosen
