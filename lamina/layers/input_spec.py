"""InputSpec: what a layer accepts - rank, shape, dtype - and the check of its first argument against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.core import dtypes, tree
from lamina.core.errors import ArgumentError, DTypeError, ShapeError
from lamina.layers import shapes


class InputSpec:
    """The rank, shape and dtype a layer expects of one input; None entries fit anything.

    shape: full shape with the batch. ndim, min_ndim, max_ndim: ranks. axes: {axis: extent}, as far as they
    are fixed. allow_last_axis_squeeze: accept (..., n) for (..., n, 1) and the other way round. name: the key
    of this input in a dict of data. optional: None may be passed.

    >>> layer.input_spec = InputSpec(min_ndim=2, axes={-1: 64})
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: Mapping[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = None if dtype is None else dtypes.standardize(dtype)
        self.shape = None if shape is None else shapes.standardize(shape)
        self.ndim = ndim if self.shape is None else len(self.shape)
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.name = name
        self.optional = optional
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        try:
            self.axes = {int(axis): extent for axis, extent in (axes or {}).items()}
        except (ValueError, TypeError, AttributeError):
            raise ArgumentError(
                "InputSpec: axes must be a dict with whole numbers as keys.", got=repr(axes)
            ) from None
        highest = self.ndim if self.ndim is not None else self.max_ndim
        if self.axes and highest is not None and max(self.axes) >= highest:
            raise ArgumentError(f"InputSpec: axis {max(self.axes)} is outside rank {highest}.")

    def get_config(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype,
            "shape": self.shape,
            "ndim": self.ndim,
            "max_ndim": self.max_ndim,
            "min_ndim": self.min_ndim,
            "axes": self.axes,
            "optional": self.optional,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        return cls(**config)

    def __repr__(self) -> str:
        shown = [f"{key}={value}" for key, value in self.get_config().items() if value]
        return f"InputSpec({', '.join(shown)})"

    def describe(self) -> str:
        """The expectation in words, for messages."""
        if self.shape is not None:
            return f"shape {self.shape}"
        parts = []
        if self.ndim is not None:
            parts.append(f"{self.ndim} axes")
        if self.min_ndim is not None:
            parts.append(f"at least {self.min_ndim} axes")
        if self.max_ndim is not None:
            parts.append(f"at most {self.max_ndim} axes")
        parts += [
            f"{extent} entries along axis {axis}" for axis, extent in self.axes.items() if extent is not None
        ]
        return ", ".join(parts) or "any shape"

    def fits(self, shape: shapes.Shape) -> bool:
        """Whether a tensor of this shape is accepted."""
        rank = len(shape)
        if self.ndim is not None and not self.allow_last_axis_squeeze and rank != self.ndim:
            return False
        if self.max_ndim is not None and rank > self.max_ndim:
            return False
        if self.min_ndim is not None and rank < self.min_ndim:
            return False
        for axis, extent in self.axes.items():
            if not -rank <= axis < rank or (extent is not None and shape[axis] not in (extent, None)):
                return False
        return self.shape is None or self._fits_shape(shape)

    def _fits_shape(self, shape: shapes.Shape) -> bool:
        wanted = self.shape or ()
        if self.allow_last_axis_squeeze and len(shape) != len(wanted):
            longer, shorter = (shape, wanted) if len(shape) > len(wanted) else (wanted, shape)
            if len(longer) != len(shorter) + 1 or longer[-1] not in (1, None):
                return False
            shape, wanted = (shape[: len(shorter)], wanted[: len(shorter)])
        return len(shape) == len(wanted) and all(
            want is None or got is None or want == got for got, want in zip(shape, wanted)
        )


def check(specs: Any, inputs: Any, layer: Any) -> None:
    """ShapeError, DTypeError or ArgumentError unless `inputs` fit `specs`: one InputSpec or a structure."""
    flat_specs: list[InputSpec | None] = tree.flatten(specs)
    flat_inputs = _in_order(inputs, flat_specs, layer)
    if len(flat_inputs) != len(flat_specs):
        names = [spec.name for spec in flat_specs if spec is not None and spec.name]
        raise ArgumentError(
            f"{describe_layer(layer)} was called with the wrong number of inputs.",
            expected=f"{len(flat_specs)}" + (f" ({', '.join(names)})" if names else ""),
            got=f"{len(flat_inputs)}, of shapes {', '.join(str(_shape(x)) for x in flat_inputs)}",
            fix="pass them as one list, or as a dict by input name.",
        )
    for position, (tensor, spec) in enumerate(zip(flat_inputs, flat_specs)):
        if spec is None or (tensor is None and spec.optional):
            continue
        what = (
            f"input '{spec.name}'" if spec.name else "input" if len(flat_specs) == 1 else f"input {position}"
        )
        if not hasattr(tensor, "shape"):
            raise ArgumentError(
                f"{describe_layer(layer)}: {what} is not a tensor.",
                expected=spec.describe(),
                got=f"{tensor!r} of type {type(tensor).__name__}",
            )
        shape = tuple(tensor.shape)
        if not spec.fits(shape):
            raise ShapeError(
                f"{describe_layer(layer)} does not accept the shape of its {what}.",
                expected=spec.describe(),
                got=f"shape {shape}",
                fix=_remedy(spec, shape, layer),
            )
        if spec.dtype is not None and dtypes.standardize(tensor.dtype) != spec.dtype:
            raise DTypeError(
                f"{describe_layer(layer)} does not accept the dtype of its {what}.",
                expected=spec.dtype,
                got=str(tensor.dtype),
            )


def describe_layer(layer: Any) -> str:
    """How messages name a layer: `Layer 'dense' (Dense)`."""
    return f"Layer '{layer.name}' ({type(layer).__name__})"


def _shape(tensor: Any) -> Any:
    return tuple(tensor.shape) if hasattr(tensor, "shape") else type(tensor).__name__


def _remedy(spec: InputSpec, shape: shapes.Shape, layer: Any) -> str | None:
    """What most likely went wrong."""
    least = spec.min_ndim if spec.min_ndim is not None else spec.ndim
    if least is not None and len(shape) == least - 1:
        if getattr(layer, "rank", 1) > 1:
            return "give grey images an axis of channels, x[..., None]; a single image a batch axis, x[None]."
        return "if this is a single example, give it a batch axis: x[None]."
    if spec.ndim is not None and len(shape) > spec.ndim and not spec.allow_last_axis_squeeze:
        return "add a Flatten() or Reshape(...) layer before this one."
    if spec.axes and getattr(layer, "built", False) and len(shape) >= (least or 0):
        return "the layer was built for another number of features; give it that, or make a new layer."
    return None


def _in_order(inputs: Any, specs: list[InputSpec | None], layer: Any) -> list[Any]:
    names = [spec.name if spec is not None else None for spec in specs]
    if not isinstance(inputs, Mapping) or not all(names):
        return tree.flatten(inputs)
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ArgumentError(
            f"{describe_layer(layer)} got no data for input '{missing[0]}'.",
            expected=f"a dict with the keys {', '.join(map(str, names))}",
            got=f"the keys {', '.join(map(str, inputs))}",
        )
    return [inputs[name] for name in names]
