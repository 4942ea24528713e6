"""Shape and dtype rules of the primitives with windows: convolutions, pooling.

Layout: x is [batch, *spatial, channels], a kernel [*sizes, channels / groups, filters], what a window gives
[batch, *places, channels or filters]. `lamina.core.windows` says where the places of a window are.
"""

from __future__ import annotations

from math import prod

from lamina.core import windows
from lamina.core.errors import DTypeError, ShapeError
from lamina.core.windows import Padding
from lamina.ir.graph import TensorType

Ints = tuple[int, ...]


def conv(
    x: TensorType, kernel: TensorType, *, strides: Ints, padding: Padding, dilation: Ints, groups: int
) -> TensorType:
    _same_numbers(x, kernel)
    sizes, per_group, filters = _kernel(kernel, len(x.shape) - 2)
    if groups < 1 or per_group * groups != x.shape[-1] or filters % groups:
        raise ShapeError(
            f"A kernel {kernel.shape} in {groups} group(s) does not fit {x.shape[-1]} channels.",
            expected=f"{per_group * max(groups, 1)} channels, and filters that the groups divide",
            got=f"{x.shape[-1]} channels, {filters} filters",
            fix="the kernel's last but one axis is channels divided by groups; check the channels' axis.",
        )
    places = windows.places(x.shape[1:-1], sizes, strides, padding, dilation)
    return TensorType((x.shape[0], *places, filters), x.dtype)


def conv_input_grad(
    y: TensorType, kernel: TensorType, *, shape: Ints, strides: Ints, padding: Padding, dilation: Ints,
    groups: int,
) -> TensorType:  # fmt: skip
    _, per_group, _ = _kernel(kernel, len(y.shape) - 2)
    x = TensorType((y.shape[0], *shape, per_group * groups), y.dtype)
    _agrees(conv(x, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups), y)
    return x


def conv_filter_grad(
    x: TensorType, y: TensorType, *, shape: Ints, strides: Ints, padding: Padding, dilation: Ints, groups: int
) -> TensorType:  # fmt: skip
    _spatial(x)
    kernel = TensorType((*shape, x.shape[-1] // max(groups, 1), y.shape[-1]), x.dtype)
    _agrees(conv(x, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups), y)
    return kernel


def max_window(
    x: TensorType, *, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> tuple[TensorType, TensorType]:
    y = sum_window(x, sizes=sizes, strides=strides, padding=padding, dilation=dilation)
    if not windows.every_place_has_an_element(x.shape[1:-1], sizes, strides, padding, dilation):
        raise ShapeError(
            f"A maximum over padding alone does not exist: window {sizes} over {x.shape[1:-1]} with padding"
            f" {padding}, strides {strides} and dilation {dilation}.",
            fix="pad by less than the window.",
        )
    return y, TensorType(y.shape, index_dtype(sizes))


def index_dtype(sizes: Ints) -> str:
    """The dtype of positions inside a window."""
    return "uint8" if prod(sizes) <= 256 else "int32"


def gather_window(
    x: TensorType, index: TensorType, *, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> TensorType:
    y = sum_window(x, sizes=sizes, strides=strides, padding=padding, dilation=dilation)
    _agrees(TensorType(y.shape, index_dtype(sizes)), index)
    return y


def scatter_window(
    y: TensorType, index: TensorType, *, shape: Ints, sizes: Ints, strides: Ints, padding: Padding,
    dilation: Ints,
) -> TensorType:  # fmt: skip
    _agrees(TensorType(y.shape, index_dtype(sizes)), index)
    return spread_window(y, shape=shape, sizes=sizes, strides=strides, padding=padding, dilation=dilation)


def sum_window(x: TensorType, *, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints) -> TensorType:
    _same_numbers(x)
    places = windows.places(_spatial(x), sizes, strides, padding, dilation)
    return TensorType((x.shape[0], *places, x.shape[-1]), x.dtype)


def spread_window(
    y: TensorType, *, shape: Ints, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> TensorType:
    _spatial(y)
    x = TensorType((y.shape[0], *shape, y.shape[-1]), y.dtype)
    _agrees(sum_window(x, sizes=sizes, strides=strides, padding=padding, dilation=dilation), y)
    return x


# --- parts -----------------------------------------------------------------------------------------


def _same_numbers(x: TensorType, *rest: TensorType) -> None:
    if x.dtype == "bool":
        raise DTypeError("This operation works on numbers, got bool.")
    for other in rest:
        if other.dtype != x.dtype:
            raise DTypeError(f"Operands have dtypes {x.dtype} and {other.dtype}, which must be equal here.")


def _spatial(x: TensorType) -> Ints:
    """The spatial extents."""
    if len(x.shape) < 3:
        raise ShapeError(f"Windows need a tensor [batch, *spatial, channels], got shape {x.shape}.")
    return x.shape[1:-1]


def _kernel(kernel: TensorType, rank: int) -> tuple[Ints, int, int]:
    """Sizes, channels of a group, filters."""
    if len(kernel.shape) != rank + 2 or rank < 1:
        raise ShapeError(
            f"A convolution over {rank} spatial axes takes a kernel of rank {rank + 2}, got {kernel.shape}.",
            expected="input [batch, *spatial, channels], kernel [*sizes, channels, filters]",
        )
    return kernel.shape[:-2], kernel.shape[-2], kernel.shape[-1]


def _agrees(expected: TensorType, got: TensorType) -> None:
    if expected != got:
        raise ShapeError("Operand and window do not fit.", expected=str(expected), got=str(got))
