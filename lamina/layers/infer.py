"""What comes out of a function of KerasTensors: found by tracing it.

Unknown extents are tried with two different sizes; the output extents that follow them are the unknown ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lamina.core import tree
from lamina.core.errors import ArgumentError, LaminaError
from lamina.core.scopes import Scope
from lamina.ir.bind import constant_value
from lamina.ir.symbolic import KerasTensor
from lamina.ir.trace import Tensor, Trace
from lamina.layers import shapes
from lamina.layers.masks import get_mask, with_mask

# Both have many divisors, so that reshapes and strides go through, and neither is likely to be a real extent.
_TRIAL_EXTENTS = (27720, 55440)

_is_trying: Scope[bool] = Scope(False)


def known(shape: Iterable[int]) -> shapes.Shape:
    """A traced tensor's shape with None for the extents that are only being tried out."""
    trials = _TRIAL_EXTENTS if _is_trying.value else ()
    return tuple(None if extent in trials else extent for extent in shape)


def output_spec(function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """KerasTensors, structured as the result of `function(*arguments, **keywords)`.

    The function runs on traced tensors: nothing is computed, no variable changes. A result of None is kept.
    """
    tensors = [leaf for leaf in tree.leaves((arguments, keywords)) if isinstance(leaf, KerasTensor)]
    first = _trace(function, arguments, keywords, _TRIAL_EXTENTS[0])
    if not any(None in tensor.shape for tensor in tensors):
        return tree.map_structure(lambda leaf: _spec(leaf, leaf), first)
    second = _trace(function, arguments, keywords, _TRIAL_EXTENTS[1])
    return tree.map_structure(_spec, first, second)


def _trace(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any], unknown: int
) -> Any:
    with Trace() as trace:

        def stand_in(leaf: Any) -> Any:
            if not isinstance(leaf, KerasTensor):
                return leaf
            shape = tuple(unknown if extent is None else extent for extent in leaf.shape)
            return with_mask(trace.input(leaf.name, shape, leaf.dtype), stand_in(get_mask(leaf)))

        positional, named = tree.map_structure(stand_in, (tuple(arguments), dict(keywords)))
        try:
            with _is_trying.holding(True):
                result = function(*positional, **named)
        except LaminaError as error:
            if str(unknown) in str(error):
                error.add_note(f"  {unknown} stands for an extent that is not known yet (None)")
            raise
        return tree.map_structure(_as_tensor, result)


def _as_tensor(leaf: Any) -> Any:
    if leaf is None or isinstance(leaf, Tensor):
        return leaf
    if hasattr(leaf, "__tensor__"):
        return leaf.__tensor__()
    try:
        return Tensor(constant_value(leaf))
    except TypeError:
        raise ArgumentError(
            "A layer must return tensors, or lists, tuples and dicts of them.",
            got=f"{leaf!r} of type {type(leaf).__name__}",
        ) from None


def _spec(first: Any, second: Any) -> Any:
    if first is None:
        return None
    if len(first.shape) != len(second.shape):
        raise ArgumentError(
            "The rank of a layer's output depends on an extent that is not known yet.",
            got=f"shapes {first.shape} and {second.shape}",
            fix="give the Input a full shape, for example batch_shape=(32, 10).",
        )
    shape = tuple(one if one == other else None for one, other in zip(first.shape, second.shape))
    return KerasTensor(shape, first.dtype)
