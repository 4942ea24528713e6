"""Windows that slide over spatial axes: how many places they have, and what must be padded.

For every spatial axis: `size` elements of the window, `dilation` apart (so it reaches over
`(size - 1) * dilation + 1` elements), moved by `stride`, over an axis that is widened by `padding` = (before,
after). Output place i sees the elements `i * stride - before + j * dilation`, j = 0 ... size - 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.core.errors import ShapeError
from lamina.core.shapes import Shape

Padding = tuple[tuple[int, int], ...]


def reach(size: int, dilation: int) -> int:
    """Over how many elements a window extends, those it skips included."""
    return (size - 1) * dilation + 1


def places(
    spatial: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
) -> Shape:
    """The number of places of the window along each spatial axis.

    ShapeError when the arguments do not fit each other, or the window is larger than what it slides over.

    >>> places((28, 28), sizes=(3, 3), strides=(2, 2), padding=((0, 1), (0, 1)), dilation=(1, 1))
    (14, 14)
    """
    check(len(spatial), sizes, strides, padding, dilation)
    found = []
    for axis, (extent, size, stride, (low, high), step) in enumerate(
        zip(spatial, sizes, strides, padding, dilation)
    ):
        room = low + extent + high - reach(size, step)
        if room < 0:
            raise ShapeError(
                f"A window of {size} does not fit into spatial axis {axis}, which has {extent} elements.",
                expected=f"at least {reach(size, step)} elements, padding included",
                got=f"{extent} and padding of {low} and {high}"
                + (f", with a dilation of {step}" if step > 1 else ""),
                fix="use larger inputs, a smaller window, or padding 'same'.",
            )
        found.append(room // stride + 1)
    return tuple(found)


def check(
    rank: int, sizes: Sequence[int], strides: Sequence[int], padding: Padding, dilation: Sequence[int]
) -> None:
    """ShapeError unless there is one size, stride, padding and dilation per axis, all in range."""
    counts = {len(sizes), len(strides), len(padding), len(dilation)}
    if counts != {rank} or rank == 0:
        raise ShapeError(
            f"A window over {rank} spatial axes needs that many sizes, strides, paddings and dilations,"
            f" got {len(sizes)}, {len(strides)}, {len(padding)} and {len(dilation)}."
        )
    if min((*sizes, *strides, *dilation)) < 1 or min(width for pair in padding for width in pair) < 0:
        raise ShapeError(
            f"Window {tuple(sizes)}, strides {tuple(strides)}, dilation {tuple(dilation)} must be positive,"
            f" padding {tuple(padding)} not negative."
        )


def every_place_has_an_element(
    spatial: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
) -> bool:
    """Whether no window lies in the padding alone."""
    counts = places(spatial, sizes, strides, padding, dilation)
    for extent, size, stride, (low, _), step, count in zip(
        spatial, sizes, strides, padding, dilation, counts
    ):
        for place in range(count):
            start = place * stride - low
            first = start if start >= 0 else start + -(start // step) * step  # the first element not before 0
            if not start <= first <= min(start + (size - 1) * step, extent - 1):
                return False
    return True


def same_padding(extent: int, size: int, stride: int, dilation: int) -> tuple[int, int]:
    """What 'same' adds before and after: as many places as the extent divided by the stride, rounded up."""
    wanted = -(-extent // stride)
    total = max((wanted - 1) * stride + reach(size, dilation) - extent, 0)
    return total // 2, total - total // 2
