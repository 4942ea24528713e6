"""What ops over spatial axes share: numbers per axis, the words for padding, and the order of axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamina.core import windows
from lamina.core.config import config
from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.windows import Padding
from lamina.ir import primitives as p
from lamina.ops.convert import as_tensor

Ints = tuple[int, ...]


def per_axis(value: int | Sequence[int], rank: int, name: str, least: int = 1) -> Ints:
    """One whole number per spatial axis; a single one counts for all of them."""
    given: Sequence[Any] = value if isinstance(value, (tuple, list)) else (value,) * rank
    try:
        numbers = tuple(int(entry) for entry in given)
        fits = len(numbers) == rank and all(a == b for a, b in zip(numbers, given))
    except (TypeError, ValueError):
        fits = False
    if not fits or min(numbers) < least:
        raise ArgumentError(
            f"`{name}` must be a whole number of at least {least}, or {rank} of them, one per spatial axis.",
            got=repr(value),
        )
    return numbers


def resolve_padding(
    padding: Any, spatial: Sequence[int], sizes: Ints, strides: Ints, dilation: Ints
) -> Padding:
    """What is added before and after each spatial axis.

    padding: "valid" (nothing), "same" (as many places as elements, divided by the stride and rounded up),
    "causal" (all before, for one spatial axis), or pairs (before, after), one per axis.
    """
    if not isinstance(padding, str):
        return _explicit(padding, len(spatial))
    word = padding.lower()
    if word == "valid":
        return ((0, 0),) * len(spatial)
    if word == "same":
        axes = zip(spatial, sizes, strides, dilation)
        return tuple(windows.same_padding(*axis) for axis in axes)
    if word == "causal" and len(spatial) == 1:
        return ((windows.reach(sizes[0], dilation[0]) - 1, 0),)
    raise ArgumentError(
        f"There is no padding {padding!r} for {len(spatial)} spatial axes.",
        expected="'valid', 'same', 'causal' (1-D only), or pairs of numbers",
    )


def _explicit(padding: Any, rank: int) -> Padding:
    try:
        pairs = tuple((int(low), int(high)) for low, high in padding)
    except (TypeError, ValueError):
        pairs = ()
    if len(pairs) != rank or any(min(pair) < 0 for pair in pairs):
        raise ArgumentError(
            "`padding` must be a word, or a pair (before, after) of numbers from 0 on for each spatial axis.",
            expected=f"'valid', 'same', or {rank} pair(s)",
            got=repr(padding),
        )
    return pairs


# --- the order of axes -----------------------------------------------------------------------------


def is_channels_first(data_format: str | None) -> bool:
    """Whether channels come right after the batch; None means the default, which is that they come last."""
    found = config.image_data_format if data_format is None else data_format
    if found not in ("channels_last", "channels_first"):
        raise ArgumentError(
            f"Unknown data_format {data_format!r}.", expected="'channels_last' or 'channels_first'"
        )
    return found == "channels_first"


def channels_last(x: Any, data_format: str | None, batched: bool = True) -> Any:
    """`x` as a tensor with its channels last."""
    x = as_tensor(x)
    if not is_channels_first(data_format):
        return x
    first = int(batched)
    order = (*range(first), *range(first + 1, len(x.shape)), first)
    return p.transpose(x, permutation=order)


def in_format(x: Any, data_format: str | None, batched: bool = True) -> Any:
    """A channels-last tensor in the wanted order of axes."""
    if not is_channels_first(data_format):
        return x
    first, last = int(batched), len(x.shape) - 1
    return p.transpose(x, permutation=(*range(first), last, *range(first, last)))


def spatial_rank(x: Any, name: str, most: int = 3) -> int:
    """The number of spatial axes of [batch, *spatial, channels]; ShapeError unless it is 1 to `most`."""
    rank = len(x.shape) - 2
    if not 1 <= rank <= most:
        raise ShapeError(
            f"{name} works on [batch, *spatial, channels] with 1 to {most} spatial axes.",
            got=f"shape {tuple(x.shape)}",
            fix="add the missing axis with ops.expand_dims, for instance a batch of one, or one channel.",
        )
    return rank


# --- images ----------------------------------------------------------------------------------------


def batch_of_images(images: Any, data_format: str | None) -> tuple[Any, Callable[[Any], Any]]:
    """`images` as [batch, height, width, channels], and what brings a result back to the form they had.

    images: one image or a batch of them, channels last or first. ShapeError for any other rank.
    """
    x = as_tensor(images)
    if len(x.shape) not in (3, 4):
        raise ShapeError(
            "Images are one image [height, width, channels], or a batch of them.",
            expected="rank 3 or 4",
            got=f"shape {tuple(x.shape)}",
            fix="grey images need a last axis of one channel: images[..., None].",
        )
    batched = len(x.shape) == 4
    x = channels_last(x, data_format, batched)
    x = x if batched else p.reshape(x, shape=(1, *x.shape))

    def restore(result: Any) -> Any:
        result = result if batched else p.reshape(result, shape=result.shape[1:])
        return in_format(result, data_format, batched)

    return x, restore
