"""What a kernel costs: counted arithmetic and traffic, and a rough time from them."""

from __future__ import annotations

from math import prod

from lamina.backends.base import KernelReport
from lamina.backends.cpu import pooling
from lamina.backends.cpu.fuse import KEPT
from lamina.backends.cpu.nest import Gather, Load, Nest, Pieces, Statement, Window
from lamina.backends.cpu.target import Target
from lamina.core.dtypes import itemsize
from lamina.ir import primitives as p

# Instructions per element that count as more than one operation.
HEAVY = {
    p.exp: 20, p.expm1: 25, p.log: 25, p.log1p: 28, p.sin: 30, p.cos: 30, p.tan: 40, p.tanh: 25, p.sigmoid:
    25,
    p.erf: 25, p.power: 60, p.divide: 4, p.sqrt: 6, p.rsqrt: 8, p.random_bits: 45, p.arctan2: 40,
}  # fmt: skip


def of_nest(nest: Nest) -> tuple[int, int]:
    """(operations, bytes moved to and from memory), each element of an operand counted once."""
    points = prod(axis.extent for axis in nest.axes)
    kept = prod(axis.extent for axis in nest.axes if not axis.inner)
    operations = moved = 0
    for statement in nest.statements:
        here = kept if statement.level == KEPT and not statement.reduces else points
        operations += here * HEAVY.get(statement.operation, 1)
        for operand in statement.operands:
            if isinstance(operand, Statement):
                continue
            if isinstance(operand, Load):
                touched = prod(
                    axis.extent for axis, stride in zip(nest.axes, operand.place.strides) if stride != 0
                )
                moved += touched * itemsize(operand.dtype)
            elif isinstance(operand, (Gather, Pieces)):
                moved += points * itemsize(statement.value.dtype)
            elif isinstance(operand, Window):
                operations += 3 * points * pooling.taps(operand)
                moved += points * itemsize(operand.source.dtype) * _read_once(operand)
    for store in nest.stores:
        touched = prod(axis.extent for axis, stride in zip(nest.axes, store.place.strides) if stride != 0)
        moved += touched * itemsize(store.value.dtype)
    return operations, moved


def _read_once(window: Window) -> int:
    """How many elements of what is read belong to one point."""
    if window.kind in pooling.BACK:
        return 1
    return prod(min(slide.stride, slide.size) for slide in window.slides)


def nanoseconds(report: KernelReport, target: Target, product: bool) -> float:
    """A rough single-core time: arithmetic at a few vectors a nanosecond, traffic at the speed of a cache."""
    lanes = max(1, target.vector_bytes // 4)
    rate = 10.0 * lanes if product else 2.5 * lanes
    return 20.0 + report.flops / rate + report.bytes / 100.0


def lines(nest: Nest, lanes: int, vector: int | None) -> int:
    """About how many instructions one inner step is written as."""

    def access(strides: tuple[int, ...]) -> int:
        scattered = vector is not None and strides[vector] not in (0, 1)
        return 3 * lanes if scattered else 2

    total = 0
    for statement in nest.statements:
        if statement.level == KEPT and not statement.reduces:
            continue
        total += HEAVY.get(statement.operation, 1)
        for operand in statement.operands:
            if isinstance(operand, Load):
                total += access(operand.place.strides)
            elif isinstance(operand, (Gather, Pieces)):
                total += 3 * lanes
            elif isinstance(operand, Window):
                total += 6 * min(pooling.taps(operand), 32)
    return total + sum(access(store.place.strides) for store in nest.stores)
