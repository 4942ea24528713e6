"""Pooling at one point of a nest, or one vector of them: a walk over the elements that its window sees, or
over the windows that see it.

Vectors lie along the channels, so all lanes are at the same place of the window: whether a tap lies inside is
one condition, and its address one number. Small windows are written out, once for points far from the edges,
where nothing has to be asked, and once for the others; of large ones the outer axes are loops. No tensor of
windows is ever stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from typing import TYPE_CHECKING

from lamina.backends.cpu import math
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, bits_of, constant, index, is_floating
from lamina.backends.cpu.nest import Seen, Slide, Window
from lamina.core import dtypes
from lamina.ir import primitives as p

if TYPE_CHECKING:
    from lamina.backends.cpu.points import Point

WRITTEN_OUT = 32  # taps up to this many are written out; of larger windows, those of the last axis
BACK = frozenset({"scatter", "spread", "unweigh"})

State = list[Register]
Step = Callable[[Sequence["Tap"], State], State]


def taps(window: Window) -> int:
    """How many elements or windows one point looks at."""
    if window.kind in BACK:
        return prod(
            slide.size if slide.dilation > 1 else -(-slide.size // slide.stride) for slide in window.slides
        )
    return prod(slide.size for slide in window.slides)


@dataclass(frozen=True)
class Tap:
    """Where a slide has arrived: `at` elements along the axis, as the `number`-th of the window.

    inside: whether that is an element at all; None when it is known to be. `at` is an element in any case.
    """

    at: Register
    number: Register
    inside: Register | None


def emit(point: Point, window: Window) -> Register:
    """The value of a window at a point."""
    if window.kind not in ("max", "index"):
        return _Walk(point, window).total()
    if not window.tracked:
        return _Walk(point, window).maximum()
    key = replace(window, kind="max")
    if key not in point.maxima:
        point.maxima[key] = _Walk(point, window).tracked_maximum()
    return point.maxima[key][window.kind == "index"]


class _Walk:
    """The taps of one window."""

    def __init__(self, point: Point, window: Window) -> None:
        self.b: Builder = point.b
        self.point = point
        self.window = window
        self.slides = window.slides
        self.target = point.surroundings.target
        self.is_far = False  # from the edges
        self.origins: dict[Seen, Register] = {}
        self.dtype = "float32" if window.source.dtype in ("float16", "bfloat16") else window.source.dtype
        self.element = ELEMENT[self.dtype]
        weights = [prod(slide.size for slide in self.slides[axis + 1 :]) for axis in range(len(self.slides))]
        self.weights = weights
        self.width = "i32" if prod(slide.size for slide in self.slides) > 256 else "i8"
        if bits_of(self.element) > bits_of(self.width):
            self.width = (
                f"i{bits_of(self.element)}"  # so that comparisons of values select indices as they are
            )

    # -- what is computed ----------------------------------------------------------------------

    def maximum(self) -> Register:
        def step(taps: Sequence[Tap], state: State) -> State:
            value = self.guarded(self.read(self.window.source, taps), taps, self.lowest())
            return [self.arithmetic(p.maximum, state[0], value)]

        return self.walk(step, [self.lowest()])[0]

    def tracked_maximum(self) -> tuple[Register, Register]:
        """A tap takes over if it is greater, or the first NaN; the first tap inside starts."""
        b = self.b

        def step(taps: Sequence[Tap], state: State) -> State:
            best, number = state
            value = self.read(self.window.source, taps)
            if is_floating(self.element):
                beats = b.op("and", b.compare("fcmp ugt", value, best), b.compare("fcmp ord", best, best))
            else:
                sign = "u" if dtypes.is_unsigned(self.dtype) else "s"
                beats = b.compare(f"icmp {sign}gt", value, best)
            inside = self.inside(taps)
            if inside is not None:
                beats = b.op("and", beats, b.splat(inside, self.point.lanes))
            return [b.select(beats, value, best), b.select(beats, self.number(taps), number)]

        start = index(0)
        for slide, weight in zip(self.slides, self.weights):
            start = b.add(start, b.multiply(self.bounds(slide)[0], weight))
        best, number = self.walk(step, [self.lowest(), self.as_number(start)])
        wanted = "i8" if prod(slide.size for slide in self.slides) <= 256 else "i32"
        return best, number if self.width == wanted else b.convert("trunc", number, wanted)

    def total(self) -> Register:
        """The sum of what the taps give; for "gather", the one that is chosen."""
        window, b = self.window, self.b
        zero = constant(0, self.element, self.point.lanes)
        chosen = None
        if window.kind == "gather":
            assert window.index is not None
            chosen = self.read_index(window.index, ())

        def step(taps: Sequence[Tap], state: State) -> State:
            if window.kind == "scatter":
                assert window.index is not None
                here = self.is_here(self.read_index(window.index, taps), taps)
                return [self.add(state[0], b.select(here, self.read(window.source, taps), zero))]
            value = self.read(window.source, taps)
            if window.weights is not None:
                return [self.weighed(state[0], value, self.weight(window.weights, taps), taps)]
            if chosen is not None:
                return [b.select(self.is_here(chosen, taps), value, state[0])]
            return [self.add(state[0], self.guarded(value, taps, zero))]

        from lamina.backends.cpu.points import rounded

        result = self.walk(step, [zero], by_rows=taps(window) > WRITTEN_OUT and chosen is None)[0]
        return rounded(b, result, window.source.dtype, self.target)

    def weighed(self, total: Register, value: Register, weight: Register, taps: Sequence[Tap]) -> Register:
        """`total` and value * weight. A padded zero counts, should the weight be infinite; looking back, what
        is not there does not.
        """
        zero = constant(0, self.element, self.point.lanes)
        if self.window.kind == "weigh":
            value = self.guarded(value, taps, zero)
        if self.target.fma and is_floating(self.element):
            found = self.b.intrinsic("fma", value.type, value, weight, total)
        else:
            found = self.add(total, self.arithmetic(p.multiply, value, weight))
        return self.guarded(found, taps, total) if self.window.kind == "unweigh" else found

    # -- walking -------------------------------------------------------------------------------

    def walk(self, step: Step, state: State, by_rows: bool = False) -> State:
        """`step` at every tap. by_rows: the taps of the last axis are summed up on their own, which keeps
        rounding errors apart.
        """
        if taps(self.window) > WRITTEN_OUT:
            return self.over(0, (), step, state, by_rows)
        is_far = self.far_from_edges()
        if is_far is None:
            return self.over(0, (), step, state, by_rows)

        def far() -> State:
            self.is_far = True
            found = self.over(0, (), step, state, by_rows)
            self.is_far, self.origins = False, {}
            return found

        return self.b.choose(is_far, far, lambda: self.over(0, (), step, state, by_rows))

    def over(self, axis: int, outer: tuple[Tap, ...], step: Step, state: State, by_rows: bool) -> State:
        """`step` at every tap of the slides from `axis` on."""
        if axis == len(self.slides):
            return step(outer, state)
        slide, is_last = self.slides[axis], axis == len(self.slides) - 1
        apart = by_rows and is_last and axis > 0
        inner = [constant(0, self.element, self.point.lanes)] if apart else state
        if taps(self.window) <= WRITTEN_OUT or (is_last and slide.size <= WRITTEN_OUT // 4):
            for tap in self.written_out(slide):
                inner = self.over(axis + 1, (*outer, tap), step, inner, by_rows)
        else:
            first, last = self.bounds(slide)
            if first.is_constant and last.is_constant and int(first.text) >= int(last.text):
                return state
            with self.b.loop(first, last, 1, inner) as loop:
                here = (*outer, self.tap(slide, loop.index))
                loop.next = self.over(axis + 1, here, step, loop.carried, by_rows)
            inner = loop.results
        return [self.add(state[0], inner[0])] if apart else inner

    def far_from_edges(self) -> Register | None:
        """Whether all taps of the point are elements; None where that is always so, or hardly ever."""
        b, conditions = self.b, []
        for slide in self.slides:
            here = self.position(slide)
            if self.window.kind in BACK:
                if slide.dilation > 1:
                    return None
                # The windows that see the point: all from the first to the last of them.
                reached = b.add(here, slide.low)
                earlier = (-(-slide.size // slide.stride) - 1) * slide.stride
                conditions.append(b.compare("icmp sge", reached, index(earlier)))
                conditions.append(b.compare("icmp slt", reached, index(slide.extent * slide.stride)))
            elif slide.reaches:
                start = b.subtract(b.multiply(here, slide.stride), slide.low)
                last = b.add(start, (slide.size - 1) * slide.dilation)
                conditions.append(b.compare("icmp sge", start, index(0)))
                conditions.append(b.compare("icmp slt", last, index(slide.extent)))
        return reduce(lambda x, y: b.op("and", x, y), conditions) if conditions else None

    def position(self, slide: Slide) -> Register:
        """The point's index along the slide."""
        return index(0) if slide.axis is None else self.point.indices[slide.axis]

    def bounds(self, slide: Slide) -> tuple[Register, Register]:
        """The loop over a slide: over the taps inside, or, looking back, over the windows that see the point
        (over all taps where these are not neighbours).
        """
        b, here = self.b, self.position(slide)
        if self.window.kind in BACK:
            if slide.dilation > 1:
                return index(0), index(slide.size)
            reached = b.add(here, slide.low)
            first = self.largest(b.add(reached, slide.stride - slide.size), 0)
            last = b.add(self.divided(reached, slide.stride), 1)
            return self.divided(first, slide.stride), self.smallest(last, slide.extent)
        if not slide.reaches:
            return index(0), index(slide.size)
        before = b.subtract(index(slide.low), b.multiply(here, slide.stride))  # elements up to the edge
        first = self.divided(b.add(self.largest(before, 0), slide.dilation - 1), slide.dilation)
        room = self.largest(b.add(before, slide.extent + slide.dilation - 1), 0)
        return first, self.smallest(self.divided(room, slide.dilation), slide.size)

    def tap(self, slide: Slide, counter: Register) -> Tap:
        """The tap at one round of the loop over `bounds`."""
        b, here = self.b, self.position(slide)
        if self.window.kind not in BACK:
            return self.forward(slide, counter, check=False)
        if slide.dilation > 1:
            return self.backward(slide, counter)
        number = b.subtract(b.add(here, slide.low), b.multiply(counter, slide.stride))
        return Tap(counter, number, None)

    def written_out(self, slide: Slide) -> Iterator[Tap]:
        b = self.b
        if self.window.kind not in BACK:
            yield from (self.forward(slide, index(number), check=True) for number in range(slide.size))
        elif slide.dilation > 1:
            yield from (self.backward(slide, index(number)) for number in range(slide.size))
        else:
            top, rest = self.newest(slide)
            for back in range(-(-slide.size // slide.stride)):
                number, is_tap = b.add(rest, back * slide.stride), None
                if (back + 1) * slide.stride > slide.size:
                    is_tap = b.compare("icmp slt", number, index(slide.size))
                if self.is_far:
                    yield Tap(index(-back), number, is_tap)
                    continue
                at = b.subtract(top, back)
                inside = b.compare("icmp ult", at, index(slide.extent))
                inside = inside if is_tap is None else b.op("and", inside, is_tap)
                yield Tap(b.select(inside, at, index(0)), number, inside)

    def newest(self, slide: Slide) -> tuple[Register, Register]:
        """The last window that may see the point, and as which of its elements."""
        reached = self.b.add(self.position(slide), slide.low)
        if slide.stride == 1:
            return reached, index(0)
        top = self.divided(reached, slide.stride)
        return top, self.b.subtract(reached, self.b.multiply(top, slide.stride))

    def origin(self, seen: Seen) -> Register:
        """Where an operand's taps are counted from: its place, or far from the edges its window's start."""
        offset = self.origins.get(seen, self.point.offsets[seen.place])
        if (
            not self.is_far
            or seen in self.origins
            or (seen is self.window.index and self.window.kind == "gather")
        ):
            return offset
        for slide, step in zip(self.slides, seen.steps):
            if self.window.kind in BACK:
                offset = self.b.add(offset, self.b.multiply(self.newest(slide)[0], step))
            elif slide.reaches:
                start = self.b.subtract(self.b.multiply(self.position(slide), slide.stride), slide.low)
                offset = self.b.add(offset, self.b.multiply(start, step))
        self.origins[seen] = offset
        return offset

    def forward(self, slide: Slide, number: Register, check: bool) -> Tap:
        """The number-th element that the window sees. Where no window reaches out, places hold the window's
        start already.
        """
        b, along = self.b, self.b.multiply(number, slide.dilation)
        if not slide.reaches or self.is_far:
            return Tap(along, number, None)
        start = b.subtract(b.multiply(self.position(slide), slide.stride), slide.low)
        at = b.add(start, along)
        if not check:
            return Tap(at, number, None)
        inside = b.compare("icmp ult", at, index(slide.extent))
        return Tap(b.select(inside, at, index(0)), number, inside)

    def backward(self, slide: Slide, number: Register) -> Tap:
        """The window that sees the point as its number-th element, if there is one."""
        b = self.b
        moved = b.subtract(b.add(self.position(slide), slide.low), b.multiply(number, slide.dilation))
        at = self.divided(self.largest(moved, 0), slide.stride)
        meets = b.compare("icmp eq", b.multiply(at, slide.stride), moved)
        inside = b.op("and", meets, b.compare("icmp ult", at, index(slide.extent)))
        return Tap(b.select(inside, at, index(0)), number, inside)

    # -- parts ---------------------------------------------------------------------------------

    def read(self, seen: Seen, taps: Sequence[Tap]) -> Register:
        """What is seen at a tap, as it is computed with."""
        offset = self.b.add(self.origin(seen), self.distance(seen, taps))
        pointer = self.b.pointer(self.point.surroundings.pointers[seen.root], offset, ELEMENT[seen.dtype])
        return self.point.load_lanes(pointer, self.point.stride(seen.place), seen.dtype)

    def distance(self, seen: Seen, taps: Sequence[Tap]) -> Register:
        total = index(0)
        for tap, step in zip(taps, seen.steps):
            total = self.b.add(total, self.b.multiply(tap.at, step))
        return total

    def weight(self, seen: Seen, taps: Sequence[Tap]) -> Register:
        """The weights of a tap."""
        offset = self.point.offsets[seen.place]
        for tap, step in zip(taps, seen.steps):
            offset = self.b.add(offset, self.b.multiply(self.within(tap), step))
        pointer = self.b.pointer(self.point.surroundings.pointers[seen.root], offset, ELEMENT[seen.dtype])
        return self.point.load_lanes(pointer, self.point.stride(seen.place), seen.dtype)

    def within(self, tap: Tap) -> Register:
        """The number of a tap, or 0 where there is none."""
        if tap.inside is None or tap.number.is_constant:
            return tap.number
        return self.b.select(tap.inside, tap.number, index(0))

    def read_index(self, seen: Seen, taps: Sequence[Tap]) -> Register:
        """Positions inside windows, as wide as values."""
        loaded = self.read(seen, taps)
        if loaded.element == self.width:
            return loaded
        return self.b.convert("zext" if loaded.element == "i8" else "sext", loaded, self.width)

    def is_here(self, found: Register, taps: Sequence[Tap]) -> Register:
        """Whether an index names this tap, which lies inside."""
        here = self.b.compare("icmp eq", found, self.number(taps))
        inside = self.inside(taps)
        return here if inside is None else self.b.op("and", here, self.b.splat(inside, self.point.lanes))

    def number(self, taps: Sequence[Tap]) -> Register:
        total = index(0)
        for tap, weight in zip(taps, self.weights):
            total = self.b.add(total, self.b.multiply(tap.number, weight))
        return self.as_number(total)

    def as_number(self, number: Register) -> Register:
        """A number of a tap in every lane."""
        if number.is_constant:
            return constant(int(number.text), self.width, self.point.lanes)
        narrow = number if self.width == "i64" else self.b.convert("trunc", number, self.width)
        return self.b.splat(narrow, self.point.lanes)

    def inside(self, taps: Sequence[Tap]) -> Register | None:
        found = None
        for tap in taps:
            if tap.inside is not None:
                found = tap.inside if found is None else self.b.op("and", found, tap.inside)
        return found

    def guarded(self, value: Register, taps: Sequence[Tap], otherwise: Register) -> Register:
        inside = self.inside(taps)
        return value if inside is None else self.b.select(inside, value, otherwise)

    def lowest(self) -> Register:
        return constant(dtypes.limits(self.dtype)[0], self.element, self.point.lanes)

    def add(self, x: Register, y: Register) -> Register:
        return self.arithmetic(p.add, x, y)

    def arithmetic(self, operation: p.Primitive, x: Register, y: Register) -> Register:
        return math.emit(self.b, operation, [self.dtype, self.dtype], self.dtype, [x, y], self.target)

    def divided(self, x: Register, by: int) -> Register:
        """x / by for x of at least 0, rounded down."""
        if x.is_constant:
            return index(int(x.text) // by)
        return x if by == 1 else self.b.op("udiv", x, index(by))

    def largest(self, x: Register, other: int) -> Register:
        if x.is_constant:
            return index(max(int(x.text), other))
        return self.b.select(self.b.compare("icmp sgt", x, index(other)), x, index(other))

    def smallest(self, x: Register, other: int) -> Register:
        if x.is_constant:
            return index(min(int(x.text), other))
        return self.b.select(self.b.compare("icmp slt", x, index(other)), x, index(other))
