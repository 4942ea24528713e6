"""Convolutions that keep channels apart, one filter for each: y, and the gradients of x and of the kernel.

No matrix product is shared here: each element of the kernel meets one channel. With neighbouring channels in
a vector, a pixel of the result is one multiply-add for each tap. Weights stay in registers along a line, and
pixels next to each other share what they load. Lines outside the image are lines of zeros in scratch, so
that the inner loops know nothing of edges; the few pixels at both ends of a line are written out.

Backward, pixels that are `stride` apart see the same taps: they are one `Phase` of the result's lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod

from lamina.backends.cpu.contract_plan import Panels, round_up, split_columns
from lamina.backends.cpu.convolve_boxes import ConvolveSpec, wanted_tasks
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.core.shapes import Shape
from lamina.ir import primitives as p
from lamina.ir.graph import Node

MOST_TAPS = 49  # written out at each pixel
MOST_EDGES = 8  # pixels of a line that are written out, because a tap leaves the image there
LONGEST_LINE = 1 << 16  # elements of a line: one of zeros is in scratch
MOST_PARTS = 16  # partial sums of the gradient of a kernel


@dataclass(frozen=True)
class Phase:
    """Places first, first + every, ... (`count` of them) along an axis of the result.

    The j-th of them reads, for each (tap, offset), the place j * step + offset of an axis of this extent.
    """

    first: int
    every: int
    count: int
    step: int
    extent: int
    taps: tuple[tuple[int, int], ...]

    @property
    def inner(self) -> tuple[int, int]:
        """The bounds of j between which all taps lie inside."""
        low = max((-offset + self.step - 1) // self.step for _, offset in self.taps)
        high = min((self.extent - 1 - offset) // self.step + 1 for _, offset in self.taps)
        first = min(max(low, 0), self.count)
        return first, max(min(high, self.count), first)

    @property
    def edges(self) -> list[int]:
        """Each j with a tap outside."""
        if not self.taps:
            return []
        first, last = self.inner
        return [*range(first), *range(last, self.count)]

    def is_inside(self, j: int, offset: int) -> bool:
        return 0 <= j * self.step + offset < self.extent


def phases_of(
    image: int, output: int, taps: int, stride: int, dilation: int, low: int, back: bool
) -> tuple[Phase, ...]:
    """The phases of one axis of y, or `back`, of x."""
    if not back:
        seen = tuple((tap, tap * dilation - low) for tap in range(taps))
        return (Phase(0, 1, output, stride, image, seen),)
    found = []
    for first in range(min(stride, image)):
        distances = [(tap, first + low - tap * dilation) for tap in range(taps)]
        seen = tuple((tap, distance // stride) for tap, distance in distances if distance % stride == 0)
        found.append(Phase(first, stride, -(-(image - first) // stride), 1, output, seen))
    return tuple(found)


def is_depthwise(node: Node) -> bool:
    """Whether a convolution, or a gradient of one, is computed by kernels of this kind."""
    if node.primitive not in (p.conv, p.conv_input_grad, p.conv_filter_grad):
        return False
    attributes, first = node.attributes, node.inputs[0]
    groups, rank = attributes["groups"], first.ndim - 2
    kernel = node.types[0].shape if node.primitive is p.conv_filter_grad else node.inputs[1].shape
    if groups == 1 or kernel[-2:] != (1, groups) or rank > 2 or first.dtype not in ("float32", "float64"):
        return False
    if any(0 in entry.shape for entry in (*(value.type for value in node.inputs), *node.types)):
        return False
    back = node.primitive is p.conv_input_grad
    image = attributes["shape"] if back else first.shape[1:-1]
    if node.primitive is p.conv_filter_grad:
        output = node.inputs[1].shape[1:-1]
    else:
        output = first.shape[1:-1] if back else node.types[0].shape[1:-1]
    line = phases_of(
        image[-1], output[-1], kernel[rank - 1], attributes["strides"][-1], attributes["dilation"][-1],
        attributes["padding"][-1][0], back,
    )  # fmt: skip
    return (
        prod(kernel[:-2]) <= MOST_TAPS
        and sum(len(phase.edges) for phase in line) <= MOST_EDGES
        and max(image[-1], output[-1]) * groups <= LONGEST_LINE
    )


@dataclass(frozen=True)
class DepthwisePlan:
    """What is common to the kernels. spec: of y from x and w, with one channel and one output in a group."""

    spec: ConvolveSpec
    target: Target

    @property
    def sum_dtype(self) -> str:
        return self.spec.dtype

    @property
    def flops(self) -> int:
        return self.spec.flops

    @property
    def bytes(self) -> int:
        return self.spec.bytes

    @property
    def channels(self) -> int:
        return self.spec.groups

    @cached_property
    def panels(self) -> tuple[Panels, ...]:
        """The channels, a vector at a time."""
        return split_columns(self.channels, 1, self.target, self.spec.dtype)

    def axes(self, back: bool) -> tuple[tuple[Phase, ...], tuple[Phase, ...]]:
        """The phases of the result's lines, and of the pixels of a line. A single axis is a line."""
        spec = self.spec
        *lines, pixels = (
            phases_of(image, output, taps, stride, dilation, low, back)
            for image, output, taps, stride, dilation, low in zip(
                spec.image, spec.output, spec.kernel, spec.strides, spec.dilation, spec.low
            )
        )
        return (lines[0] if lines else (Phase(0, 1, 1, 1, 1, ((0, 0),)),)), pixels

    def zeros(self, lines: Sequence[Phase], strides: Sequence[int], pixels: Sequence[Phase]) -> int:
        """Elements of a line of zeros, where some line is outside the image."""
        outside = any(
            not phase.is_inside(j, offset)
            for phase in lines
            for _, offset in phase.taps
            for j in (0, phase.count - 1)
        )
        return round_up(max(phase.extent for phase in pixels) * strides[-1], 64) if outside else 0


@dataclass(frozen=True)
class DepthwiseOutputPlan(DepthwisePlan):
    """y from x and w, or `back`: the gradient of x from that of y, and w."""

    back: bool

    @property
    def result(self) -> Shape:
        """The lines of the result, and the pixels of a line."""
        extents = self.spec.image if self.back else self.spec.output
        return (1, *extents)[-2:]

    @property
    def source(self) -> tuple[int, int, int]:
        """Strides of what is read: per image, line and pixel."""
        strides = self.spec.y_strides if self.back else self.spec.x_strides
        return strides[0], (0 if len(strides) == 2 else strides[1]), strides[-1]

    @cached_property
    def phases(self) -> tuple[tuple[Phase, ...], tuple[Phase, ...]]:
        return self.axes(self.back)

    @property
    def zero_elements(self) -> int:
        return self.zeros(self.phases[0], self.source, self.phases[1])

    @cached_property
    def block(self) -> int:
        """Lines of a phase that a task takes."""
        count = max(phase.count for phase in self.phases[0])
        image = self.bytes // max(self.spec.batch, 1)
        bands = max(
            ceil(wanted_tasks(self.flops) / self.spec.batch), ceil(image / (self.target.caches.l2 // 2))
        )
        return ceil(count / min(bands, count))

    @property
    def bands(self) -> int:
        return ceil(max(phase.count for phase in self.phases[0]) / self.block)

    @property
    def tasks(self) -> int:
        return self.spec.batch * self.bands

    @property
    def scratch_bytes(self) -> int:
        return self.zero_elements * dtypes.itemsize(self.spec.dtype)

    @property
    def result_strides(self) -> tuple[int, int, int]:
        return 0, self.channels, 1

    @property
    def pixels_at_once(self) -> int:
        """Neighbouring pixels summed up together: as many as registers allow beside the weights."""
        return 4 if self.target.registers >= 32 else 2

    @property
    def reason(self) -> str:
        return f"{self.pixels_at_once} pixels at once, {self.tasks} tasks"


@dataclass(frozen=True)
class DepthwiseFilterPlan(DepthwisePlan):
    """The gradient of w from x and that of y, in `parts` partial sums, each over a share of the batch."""

    parts: int

    @property
    def source(self) -> tuple[int, int, int]:
        """Strides of x: per image, line and pixel."""
        strides = self.spec.x_strides
        return strides[0], (0 if len(strides) == 2 else strides[1]), strides[-1]

    @property
    def zero_elements(self) -> int:
        (lines,), pixels = self.axes(False)
        return self.zeros((lines,), self.source, pixels)

    @property
    def taps(self) -> int:
        return prod(self.spec.kernel)

    @property
    def tasks(self) -> int:
        """Numbered by part, then vector of channels."""
        return self.parts * sum(run.count for run in self.panels)

    @property
    def scratch_bytes(self) -> int:
        lanes = self.target.lanes(self.spec.dtype)
        return (self.zero_elements + self.taps * lanes) * dtypes.itemsize(self.spec.dtype)

    @property
    def result_strides(self) -> tuple[int, int, int]:
        return self.taps * self.channels, self.channels, 1

    @property
    def reason(self) -> str:
        return f"{self.taps} taps in registers, {self.tasks} tasks in {self.parts} parts"


def depthwise_parts(spec: ConvolveSpec) -> int:
    """Into how many shares of the batch the gradient of w is split."""
    most = max(1, min(wanted_tasks(spec.flops), MOST_PARTS, spec.batch))
    return max(count for count in range(1, most + 1) if spec.batch % count == 0)
