"""The kernel that transforms the taps of convolutions by Winograd's transforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from lamina.backends.cpu.contract_plan import Piece, pieces_of
from lamina.backends.cpu.contract_shuffle import transpose_lines
from lamina.backends.cpu.contract_sums import piece_mask
from lamina.backends.cpu.contract_walk import counted, divide
from lamina.backends.cpu.convolve_winograd import FACTORS
from lamina.backends.cpu.emit import Builder, Module, Register, index, vector
from lamina.backends.cpu.lower import Kernel
from lamina.backends.cpu.target import Target
from lamina.backends.cpu.views import Resolver
from lamina.backends.cpu.winograd import TAPS, transform_taps
from lamina.ir.graph import Node, Value

ELEMENT = "float"
GROUP = 4  # neighbours in memory that are exchanged with lanes at a time


def scratch_bytes(target: Target) -> int:
    return 4 * TAPS * TAPS * GROUP * target.lanes("float32")


def lower(
    module: Module,
    name: str,
    node: Node,
    resolve: Resolver,
    targets: Mapping[Value, Sequence[Value]],
    target: Target,
) -> Kernel:
    """Emit the kernel of a winograd_taps node.

    The result is, for each vector of outputs, for each of the 16 factors, for each channel a vector.
    """
    (w,) = node.inputs
    roots = dict.fromkeys((resolve(w).root, *targets.get(node.outputs[0], ())))
    parameters = [("ptr", f"b{position}") for position in range(len(roots))]
    tail = [("ptr", "flag"), ("ptr", "scratch"), ("i64", "begin"), ("i64", "end")]
    builder = Builder(module, name, [*parameters, *tail])
    pointers = dict(zip(roots, builder.arguments))
    (result,) = (pointers[memory] for memory in targets[node.outputs[0]])
    taps = _Taps(builder, node, target, pointers[resolve(w).root], result)
    tasks = taps.emit()
    builder.finish()
    return Kernel(name, tuple(roots), tasks, scratch=True)


class _Taps:
    """A task is a block of channels of one vector of outputs."""

    def __init__(
        self, builder: Builder, node: Node, target: Target, source: Register, result: Register
    ) -> None:
        self.builder = builder
        self.target = target
        self.turned: bool = node.attributes["turned"]
        self.rows, self.columns = node.inputs[0].shape[-2:]  # channels and outputs of w
        self.outputs = self.rows if self.turned else self.columns
        self.channels = self.columns if self.turned else self.rows
        self.lanes = target.lanes("float32")
        self.source, self.result = source, result
        self.scratch, self.begin, self.end = builder.arguments[-3:]

    def emit(self) -> int:
        """All tasks; their number."""
        builder, block = self.builder, GROUP if self.turned else 1
        vectors = ceil(self.outputs / self.lanes)
        blocks = ceil(self.channels / block)
        whole = self.outputs // self.lanes
        pieces = pieces_of(self.outputs, self.lanes, True)
        with builder.loop(self.begin, self.end) as task:
            number, at = divide(builder, task.index, blocks)
            channel = builder.multiply(at, block)
            if self.channels % block:
                channel = builder.intrinsic("smin", "i64", channel, index(self.channels - block))
            if whole:
                with builder.when(builder.compare("icmp slt", number, index(whole))):
                    self._block(number, channel, pieces[0])
            if whole < vectors:
                with builder.when(builder.compare("icmp eq", number, index(whole))):
                    self._block(number, channel, Piece(0, self.lanes, self.outputs % self.lanes))
        return vectors * blocks

    def _block(self, number: Register, channel: Register, piece: Piece) -> None:
        builder = self.builder
        output = builder.multiply(number, self.lanes)
        row, column = (output, channel) if self.turned else (channel, output)
        offset = builder.add(builder.multiply(row, self.columns), column)
        here = builder.pointer(self.source, offset, ELEMENT)
        plane = builder.multiply(number, FACTORS * self.channels)
        offset = builder.multiply(builder.add(plane, channel), self.lanes)
        there = builder.pointer(self.result, offset, ELEMENT)
        if not self.turned:
            taps = [
                [self._loaded(here, (i * TAPS + j) * self.rows * self.columns, piece) for j in range(TAPS)]
                for i in range(TAPS)
            ]
            self._transformed(taps, there)
            return
        with counted(builder, index(0), index(TAPS * TAPS)) as tap:
            backwards = builder.subtract(index(TAPS * TAPS - 1), tap)
            distance = builder.multiply(backwards, self.rows * self.columns)
            lines = builder.pointer(here, distance, ELEMENT), self.columns, piece.valid
            offset = builder.multiply(tap, GROUP * self.lanes)
            vectors = builder.pointer(self.scratch, offset, ELEMENT), self.lanes, self.lanes
            transpose_lines(builder, lines, vectors, ELEMENT, GROUP)
        with counted(builder, index(0), index(GROUP)) as row:
            offset = builder.multiply(row, self.lanes)
            near = builder.pointer(self.scratch, offset, ELEMENT)
            taps = [
                [self._loaded(near, (i * TAPS + j) * GROUP * self.lanes, None) for j in range(TAPS)]
                for i in range(TAPS)
            ]
            self._transformed(taps, builder.pointer(there, offset, ELEMENT))

    def _loaded(self, here: Register, offset: int, piece: Piece | None) -> Register:
        """A vector of outputs; those that do not exist are zeros."""
        builder = self.builder
        address = builder.pointer(here, offset, ELEMENT)
        mask = None if piece is None else piece_mask(piece)
        return builder.load(vector(ELEMENT, self.lanes), address, mask)

    def _transformed(self, taps: list[list[Register]], there: Register) -> None:
        builder = self.builder
        factors = [factor for row in transform_taps(builder, taps) for factor in row]
        for number, factor in enumerate(factors):
            address = builder.pointer(there, number * self.channels * self.lanes, ELEMENT)
            builder.store(factor, address, align=4 * self.lanes)
