"""Batches: the kernels that gather rows of the data by index, and fetch those of the next step early."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.backends.cpu.emit import Builder, Module, Register, index
from lamina.backends.cpu.nest import Axis, Gather, Load, Nest, Place, Statement, Store, merge_axes
from lamina.backends.cpu.target import Target
from lamina.core.dtypes import itemsize
from lamina.core.shapes import row_major_strides, size
from lamina.ir import primitives as p
from lamina.ir.graph import TensorType, Value
from lamina.ir.trace import new_input

PARTS = 8


def may_be_images(value: Value) -> bool:
    """Whether an input's data may also come as uint8, to be converted while it is gathered."""
    return value.dtype == "float32" and value.ndim >= 2


def worth_fetching(value: Value, target: Target) -> bool:
    """Whether the rows of the next batch should be fetched while this one is worked on.

    They lie anywhere in the data, so nothing else can foresee them; but they must leave room in the cache.
    """
    return bool(value.shape) and value.size * itemsize(value.dtype) <= target.caches.l2 // 4


def gather_nest(value: Value, data: Value, rows: Value, rows_apart: bool) -> Nest:
    """Copies the rows of `data` whose numbers are in `rows` to the input `value`, converted to its dtype.

    data: stands for the whole data; it has the type of the batch, but may have another dtype. rows_apart:
    whether the first axis has to stay the rows.
    """
    if not value.shape:
        return _nest(value, data, (), Load(data, Place(0, ()), data.dtype), ())
    length = size(value.shape[1:])
    extents = (value.shape[0],) if length == 1 else (value.shape[0], length)
    along = tuple(int(axis > 0) for axis in range(len(extents)))
    first = tuple(int(axis == 0) for axis in range(len(extents)))
    number = Load(rows, Place(0, first), "int64")
    leaf = Gather(data, Place(0, along), length, 1 << 62, number, data.dtype)
    nest = _nest(value, data, extents, leaf, row_major_strides(extents))
    return merge_axes(nest, rows_apart)


def _nest(
    value: Value, data: Value, extents: tuple[int, ...], leaf: Load | Gather, strides: tuple[int, ...]
) -> Nest:
    element = new_input("element", TensorType(value.shape, data.dtype))
    copied = p.cast(element, dtype=value.dtype) if data.dtype != value.dtype else p.stop_gradient(element)
    statement = Statement(copied, copied.primitive, (leaf,), "full", 0)
    axes = tuple(Axis(extent, False) for extent in extents)
    return Nest(axes, [statement], [Store(copied, value, Place(0, strides))])


class Fetches:
    """A thread asks for its rows of the next batch, a part of them after each of a few longer kernels.

    A processor keeps only some dozen requests in flight, and stands still when there are more.
    """

    def __init__(self, builder: Builder, module: Module, nanoseconds: Mapping[int, float]) -> None:
        """nanoseconds: estimates for the longer kernels of a step, each by a number that stands for it."""
        self.b = builder
        self.module = module
        self.longest = sorted(nanoseconds, key=lambda kernel: -nanoseconds[kernel])[:PARTS]
        self.rows: list[tuple[Register, Register, list[Register]]] = []

    def add(self, data: Register, row: Register, begin: Register, end: Register) -> None:
        """The rows begin .. end-1 of the batch, of `row` bytes each, out of `data`."""
        b, parts = self.b, len(self.longest)
        if not parts:
            return
        part = b.op("udiv", b.add(b.subtract(end, begin), parts - 1), index(parts))
        bounds = [b.add(begin, b.multiply(part, number)) for number in range(parts + 1)]
        bounds = [b.select(b.compare("icmp slt", bound, end), bound, end) for bound in bounds]
        self.rows.append((data, row, bounds))

    def after(self, kernel: int, numbers: Register) -> None:
        """Fetch a part, if the kernel just called was one of the longer ones.

        numbers: where the numbers of the next batch's rows are.
        """
        if kernel not in self.longest:
            return
        part = self.longest.index(kernel)
        for data, row, bounds in self.rows:
            arguments = (data, numbers, row, bounds[part], bounds[part + 1])
            listed = ", ".join(f"{argument.type} {argument.text}" for argument in arguments)
            self.b.emit(f"call void @{emit_fetch(self.module)}({listed})")


def emit_fetch(module: Module) -> str:
    """Add `void fetch_rows(ptr data, ptr numbers, i64 bytes, i64 begin, i64 end)`, once; its name.

    It asks for the cache lines of the rows numbers[begin], ..., numbers[end - 1] of `bytes` bytes each.
    """
    module.declare("llvm.prefetch.p0", "void", ["ptr", "i32", "i32", "i32"])
    module.functions.setdefault(
        "fetch_rows",
        """define internal void @fetch_rows(ptr %data, ptr %numbers, i64 %bytes, i64 %begin, i64 %end) #0 {
entry:
  %last = sub i64 %bytes, 1
  br label %rows
rows:
  %row = phi i64 [ %begin, %entry ], [ %following, %finished ]
  %left = icmp slt i64 %row, %end
  br i1 %left, label %fetch, label %done
fetch:
  %where = getelementptr i64, ptr %numbers, i64 %row
  %number = load i64, ptr %where, align 8
  %skipped = mul i64 %number, %bytes
  %start = getelementptr i8, ptr %data, i64 %skipped
  br label %lines
lines:
  %offset = phi i64 [ 0, %fetch ], [ %further, %lines ]
  %line = getelementptr i8, ptr %start, i64 %offset
  call void @llvm.prefetch.p0(ptr %line, i32 0, i32 2, i32 1)
  %further = add i64 %offset, 64
  %more = icmp slt i64 %further, %bytes
  br i1 %more, label %lines, label %finished
finished:
  %tail = getelementptr i8, ptr %start, i64 %last
  call void @llvm.prefetch.p0(ptr %tail, i32 0, i32 2, i32 1)
  %following = add i64 %row, 1
  br label %rows
done:
  ret void
}
""",
    )
    return "fetch_rows"


__all__ = ["Fetches", "emit_fetch", "gather_nest", "may_be_images", "worth_fetching"]
