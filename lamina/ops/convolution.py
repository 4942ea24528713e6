"""Convolutions: plain, depthwise, separable, transposed.

Inputs are [batch, *spatial, channels]; with data_format="channels_first", [batch, channels, *spatial], which
is transposed here. Everything is cast to the dtype of the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.windows import reach
from lamina.ir import primitives as p
from lamina.ops.convert import as_tensor, dtype_of
from lamina.ops.registry import op
from lamina.ops.spatial import channels_last, in_format, per_axis, resolve_padding, spatial_rank

Numbers = int | Sequence[int]


@op
def conv(
    inputs: Any,
    kernel: Any,
    strides: Numbers = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Numbers = 1,
) -> Any:
    """The sums of `kernel` times what it lies on, at every place of `inputs`, in 1 to 3 dimensions.

    kernel: [*sizes, channels / groups, filters]; fewer channels than the inputs have mean groups.
    padding: "valid", "same", "causal" (1-D), or a pair (before, after) per spatial axis.

    >>> conv(ones((1, 28, 28, 1)), ones((3, 3, 1, 8)), padding="same").shape
    (1, 28, 28, 8)

    Raises ShapeError when kernel and inputs do not fit, for instance a kernel larger than the padded inputs.
    """
    inputs, kernel = _operands(inputs, kernel, data_format, "conv")
    channels, per_group = inputs.shape[-1], kernel.shape[-2]
    if per_group == 0 or channels % per_group or kernel.shape[-1] % (channels // per_group or 1):
        raise ShapeError(
            f"conv: {channels} channels do not divide into groups of {per_group}, each with as many filters.",
            expected="kernel [*sizes, channels / groups, filters], with filters a multiple of the groups",
            got=f"inputs {tuple(inputs.shape)}, kernel {tuple(kernel.shape)}",
            fix="channels are the last axis, or the second with data_format='channels_first'.",
        )
    groups = max(channels // per_group, 1)
    return in_format(_conv(inputs, kernel, strides, padding, dilation_rate, groups), data_format)


@op
def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Numbers = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Numbers = 1,
) -> Any:
    """A convolution of each channel with filters of its own.

    kernel: [*sizes, channels, multiplier]; the result has channels * multiplier channels, those of one input
    channel next to each other. The other arguments are those of `conv`.
    """
    inputs, kernel = _operands(inputs, kernel, data_format, "depthwise_conv")
    return in_format(_depthwise(inputs, kernel, strides, padding, dilation_rate), data_format)


@op
def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Numbers = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Numbers = 1,
) -> Any:
    """`depthwise_conv`, then a `conv` of size 1 that mixes the channels.

    depthwise_kernel: [*sizes, channels, multiplier]. pointwise_kernel: [1, ..., its channels, filters].
    """
    inputs, depthwise_kernel = _operands(inputs, depthwise_kernel, data_format, "separable_conv")
    between = _depthwise(inputs, depthwise_kernel, strides, padding, dilation_rate)
    between, pointwise_kernel = _operands(between, pointwise_kernel, None, "separable_conv")
    if set(pointwise_kernel.shape[:-2]) - {1}:
        raise ShapeError(
            "separable_conv: the pointwise kernel has size 1 along every spatial axis.",
            got=f"shape {tuple(pointwise_kernel.shape)}",
        )
    return in_format(_conv(between, pointwise_kernel, 1, "valid", 1, 1), data_format)


@op
def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Numbers = 1,
    padding: str = "valid",
    output_padding: Numbers | None = None,
    data_format: str | None = None,
    dilation_rate: Numbers = 1,
) -> Any:
    """The transposed convolution (deconvolution): each input element adds its multiple of the kernel.

    kernel: [*sizes, filters, channels]. With k the size of the dilated kernel and s the stride, n elements
    become (n - 1) s + max(k, s) with "valid", n s with "same"; with an `output_padding` o they become
    (n - 1) s + k + o, and (n - 1) s + k % 2 + o.
    """
    inputs, kernel = _operands(inputs, kernel, data_format, "conv_transpose")
    rank = spatial_rank(inputs, "conv_transpose")
    strides = per_axis(strides, rank, "strides")
    dilation = per_axis(dilation_rate, rank, "dilation_rate")
    if kernel.shape[-1] != inputs.shape[-1]:
        raise ShapeError(
            f"conv_transpose: the kernel is for {kernel.shape[-1]} channels, the inputs have"
            f" {inputs.shape[-1]}.",
            expected="kernel [*sizes, filters, channels]",
            got=f"inputs {tuple(inputs.shape)}, kernel {tuple(kernel.shape)}",
        )
    more = (None,) * rank if output_padding is None else per_axis(output_padding, rank, "output_padding", 0)
    shape, pairs, zeros = [], [], []
    for extent, size, stride, step, extra in zip(inputs.shape[1:-1], kernel.shape, strides, dilation, more):
        kept, before, beyond = _transposed_extent(extent, reach(size, step), stride, padding, extra)
        shape.append(kept)
        pairs.append(before)
        zeros.append(beyond)
    result = p.conv_input_grad(
        inputs, kernel, shape=tuple(shape), strides=strides, padding=tuple(pairs), dilation=dilation, groups=1
    )
    if any(zeros):
        from lamina.ops.move import pad

        result = pad(result, ((0, 0), *((0, count) for count in zeros), (0, 0)))
    return in_format(result, data_format)


def _transposed_extent(
    extent: int, reach: int, stride: int, padding: str, more: int | None
) -> tuple[int, tuple[int, int], int]:
    """Of one axis: the extent of the result, the padding of the convolution that is transposed, and how many
    zeros follow because no input element reaches there.
    """
    word = padding.lower() if isinstance(padding, str) else padding
    if word == "valid":
        before = 0
        length = (extent - 1) * stride + (max(reach, stride) if more is None else reach + more)
    elif word == "same":
        length = extent * stride if more is None else (extent - 1) * stride + reach % 2 + more
        added = (
            length - (extent - 1) * stride + reach - 2
        )  # around the spread input, before the kernel slides
        before = reach - 1 - min(added // 2 + added % 2, reach - 1)
    else:
        raise ArgumentError(f"There is no padding {padding!r} here.", expected="'valid' or 'same'")
    covered = max((extent - 1) * stride + reach - before, 0)  # where input elements reach
    beyond = max(length - covered - (stride - 1), 0)
    return length - beyond, (before, max(covered - length, 0)), beyond


# --- parts -----------------------------------------------------------------------------------------


def _operands(inputs: Any, kernel: Any, data_format: str | None, name: str) -> tuple[Any, Any]:
    """Both as tensors of the kernel's dtype, the inputs channels-last."""
    kernel = as_tensor(kernel)
    inputs = as_tensor(channels_last(inputs, data_format), dtype_of(kernel))
    rank = spatial_rank(inputs, name)
    if len(kernel.shape) != rank + 2:
        raise ShapeError(
            f"{name}: inputs with {rank} spatial axes take a kernel of rank {rank + 2}.",
            got=f"inputs {tuple(inputs.shape)}, kernel {tuple(kernel.shape)}",
        )
    return inputs, kernel


def _conv(inputs: Any, kernel: Any, strides: Numbers, padding: Any, dilation: Numbers, groups: int) -> Any:
    rank, sizes = len(inputs.shape) - 2, kernel.shape[:-2]
    strides, dilation = per_axis(strides, rank, "strides"), per_axis(dilation, rank, "dilation_rate")
    pairs = resolve_padding(padding, inputs.shape[1:-1], sizes, strides, dilation)
    return p.conv(inputs, kernel, strides=strides, padding=pairs, dilation=dilation, groups=groups)


def _depthwise(inputs: Any, kernel: Any, strides: Numbers, padding: Any, dilation: Numbers) -> Any:
    channels, multiplier = kernel.shape[-2:]
    if channels != inputs.shape[-1]:
        raise ShapeError(
            f"depthwise_conv: the kernel is for {channels} channels, the inputs have {inputs.shape[-1]}.",
            expected="kernel [*sizes, channels, multiplier]",
            got=f"inputs {tuple(inputs.shape)}, kernel {tuple(kernel.shape)}",
        )
    kernel = p.reshape(kernel, shape=(*kernel.shape[:-2], 1, channels * multiplier))
    return _conv(inputs, kernel, strides, padding, dilation, channels)
