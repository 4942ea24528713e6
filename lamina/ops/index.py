"""Indexing: reading elements by place.

Places that are known while tracing are checked (ShapeError); places that only the running program knows are
counted from the end when negative, and otherwise clamped to the extent.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, DTypeError, ShapeError
from lamina.core.shapes import broadcast as broadcast_shapes
from lamina.core.shapes import normalize_axis, row_major_strides, size
from lamina.interp import Array
from lamina.ir import primitives as p
from lamina.ir.trace import Tensor
from lamina.ops.convert import as_tensor, dtype_of, elementwise, like, spread, together
from lamina.ops.create import counting
from lamina.ops.move import as_shape, reshaped, slice_axis, transposed
from lamina.ops.registry import op


def place_dtype(extent: int) -> str:
    """The integer dtype that can count to `extent`."""
    return "int32" if extent <= dtypes.limits("int32")[1] else "int64"


def from_front(indices: Any, extent: int) -> Any:
    """Indices with the negative ones counted from the end; known ones that are outside raise ShapeError."""
    indices = as_tensor(indices)
    kind = dtype_of(indices)
    if not dtypes.is_integer(kind):
        raise DTypeError(f"Indices must be integers, got {kind}.")
    if isinstance(indices, Array):
        plain = np.asarray(indices).astype(np.int64)
        if plain.size and (plain.min() < -extent or plain.max() >= extent):
            raise ShapeError(
                f"An index is outside an axis of extent {extent}.",
                expected=f"{-extent} to {extent - 1}",
                got=f"{plain.min()} to {plain.max()}",
            )
        return as_tensor(
            np.where(plain < 0, plain + extent, plain).astype(dtypes.to_numpy(place_dtype(extent)))
        )
    if dtypes.is_unsigned(kind):
        return indices
    if dtypes.limits(kind)[1] < extent:
        indices = as_tensor(indices, place_dtype(extent))
    return p.select(p.less(indices, like(indices, 0)), p.add(indices, like(indices, extent)), indices)


# --- x[key] ----------------------------------------------------------------------------------------


@op
def getitem(x: Any, key: Any) -> Any:
    """x[key] as in NumPy: ints, slices, None, ..., integer arrays and tensors, and known boolean masks."""
    x = as_tensor(x)
    keys = list(key) if isinstance(key, tuple) else [key]
    if isinstance(x, Array) and not any(isinstance(part, Tensor) for part in keys):
        try:
            return x[tuple(_numpy_key(part) for part in keys)]
        except IndexError as error:
            raise ShapeError(f"Cannot index a tensor of shape {x.shape}: {error}.") from None
    return _traced_getitem(x, _with_ellipsis_filled(x, _with_masks_as_indices(keys)))


def _numpy_key(part: Any) -> Any:
    return np.asarray(as_tensor(part)) if hasattr(part, "__tensor__") else part


def _with_masks_as_indices(keys: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for part in keys:
        if part is None or part is Ellipsis or isinstance(part, (builtins.slice, int, np.integer)):
            found.append(part)
            continue
        tensor = as_tensor(part)
        if dtype_of(tensor) != "bool":
            found.append(tensor)
        elif isinstance(tensor, Tensor):
            raise ArgumentError(
                "A traced boolean mask cannot select elements: the shape would depend on its numbers.",
                fix="use where(mask, x, 0), or multiply by the mask.",
            )
        else:
            found.extend(as_tensor(index) for index in np.nonzero(np.asarray(tensor)))
    return found


def _with_ellipsis_filled(x: Any, keys: list[Any]) -> list[Any]:
    used = builtins.sum(part is not None and part is not Ellipsis for part in keys)
    missing = len(x.shape) - used
    if missing < 0:
        raise ShapeError(f"Too many indices for a tensor of shape {x.shape}: {used}.")
    filler = [builtins.slice(None)] * missing
    at = [number for number, part in enumerate(keys) if part is Ellipsis]
    if len(at) > 1:
        raise ShapeError("An index can contain only one ellipsis (...).")
    return keys[: at[0]] + filler + keys[at[0] + 1 :] if at else keys + filler


def _traced_getitem(x: Any, keys: list[Any]) -> Any:
    """`keys` has one entry per axis, plus a None for each new axis."""
    advanced = any(isinstance(part, (Tensor, Array)) for part in keys)
    starts, limits, strides, backwards = [], [], [], []
    shape: list[int] = []  # after slicing, with new axes, and without the axes of plain ints
    arrays: dict[int, Any] = {}  # axis of that shape -> indices
    axis = 0
    for part in keys:
        if part is None:
            shape.append(1)
            continue
        extent = x.shape[axis]
        start, limit, stride = 0, extent, 1
        if isinstance(part, builtins.slice):
            start, limit, stride, is_backwards = _slice_bounds(part, extent)
            if is_backwards:
                backwards.append(axis)
            shape.append(-(-(limit - start) // stride))
        elif isinstance(part, (int, np.integer)) and not advanced:
            start = _checked_int(int(part), extent)
            limit = start + 1
        else:
            arrays[len(shape)] = from_front(
                part if isinstance(part, (Tensor, Array)) else np.int32(part), extent
            )
            shape.append(extent)
        starts.append(start)
        limits.append(limit)
        strides.append(stride)
        axis += 1
    if tuple(limits) != x.shape or any(starts) or any(stride != 1 for stride in strides):
        x = p.slice(x, start=tuple(starts), limit=tuple(limits), stride=tuple(strides))
    if backwards:
        x = p.reverse(x, axes=tuple(backwards))
    return _gather_axes(reshaped(x, tuple(shape)), arrays) if arrays else reshaped(x, tuple(shape))


def _checked_int(index: int, extent: int) -> int:
    if not -extent <= index < extent:
        raise ShapeError(f"Index {index} is outside an axis of extent {extent}.")
    return index + extent if index < 0 else index


def _slice_bounds(part: builtins.slice, extent: int) -> tuple[int, int, int, bool]:
    """(start, limit, positive stride, whether to turn the result round)."""
    if any(isinstance(bound, Tensor) for bound in (part.start, part.stop, part.step)):
        raise ArgumentError(
            "The bounds of a slice must be known when the program is traced.",
            fix="use ops.slice(x, start_indices, shape), whose start may be a tensor.",
        )
    start, stop, step = part.indices(extent)
    count = len(range(start, stop, step))
    if count == 0:
        return 0, 0, 1, False
    if step > 0:
        return start, start + (count - 1) * step + 1, step, False
    return start + (count - 1) * step, start + 1, -step, True


def _gather_axes(x: Any, arrays: dict[int, Any]) -> Any:
    """NumPy's advanced indexing: the indexed axes give way to the common shape of their index arrays.

    The new axes stand where the indexed ones did if those were neighbours, and else in front.
    """
    axes = tuple(arrays)
    first, extents = axes[0], [x.shape[axis] for axis in axes]
    if len(axes) == 1:
        return p.gather(x, arrays[first], axis=first)
    if axes != tuple(range(first, first + len(axes))):
        x = transposed(x, (*axes, *(axis for axis in range(len(x.shape)) if axis not in axes)))
        first = 0
    merged = reshaped(x, (*x.shape[:first], size(extents), *x.shape[first + len(axes) :]))
    return p.gather(merged, flat_index(list(arrays.values()), extents), axis=first)


def flat_index(indices: Sequence[Any], extents: Sequence[int]) -> Any:
    """Row-major places from one index tensor per axis; the tensors are broadcast together."""
    kind = place_dtype(size(extents))
    total = None
    for index, stride in zip(
        together(*[as_tensor(index, kind) for index in indices]), row_major_strides(extents)
    ):
        steps = index if stride == 1 else p.multiply(index, like(index, stride))
        total = steps if total is None else p.add(total, steps)
    return total


@op
def get_item(x: Any, key: Any) -> Any:
    """x[key]."""
    return getitem(x, key)


# --- take ------------------------------------------------------------------------------------------


@op
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The entries of x at `indices` along an axis (None: of the flattened tensor)."""
    x = as_tensor(x)
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    place = normalize_axis(axis, len(x.shape))
    return p.gather(x, from_front(indices, x.shape[place]), axis=place)


@op
def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """From each line of x along `axis`, the elements that the same line of `indices` names.

    The other axes of x and `indices` are broadcast together.
    """
    x, indices = as_tensor(x), as_tensor(indices)
    if axis is None:
        return take(reshaped(x, (x.size,)), reshaped(indices, (indices.size,)), 0)
    if len(x.shape) != len(indices.shape):
        raise ShapeError(f"take_along_axis: x {x.shape} and indices {indices.shape} differ in rank.")
    place = normalize_axis(axis, len(x.shape))
    lead = (1 if other == place else extent for other, extent in enumerate(x.shape))
    shape = broadcast_shapes(tuple(lead), indices.shape)
    indices = from_front(indices, x.shape[place])
    return p.gather(reshaped(x, (x.size,)), place_in_lines(indices, x.shape, shape, place), axis=0)


def place_in_lines(indices: Any, extents: Sequence[int], shape: tuple[int, ...], axis: int) -> Any:
    """Row-major places in a tensor of `extents`: `indices` along `axis`, counting along the other axes."""
    kind = place_dtype(size(extents))
    strides = row_major_strides(extents)
    total = spread(as_tensor(indices, kind), shape)
    if strides[axis] != 1:
        total = p.multiply(total, like(total, strides[axis]))
    for other, extent in enumerate(extents):
        if other != axis and extent > 1:
            steps = counting(shape, other, kind)
            steps = steps if strides[other] == 1 else p.multiply(steps, like(steps, strides[other]))
            total = p.add(total, steps)
    return total


# --- windows at a place ----------------------------------------------------------------------------


def _starts(start_indices: Any, rank: int) -> list[Any]:
    """One start per axis: an int where it is known, else a scalar tensor."""
    if isinstance(start_indices, Tensor):
        return [reshaped(slice_axis(start_indices, 0, axis, axis + 1), ()) for axis in range(rank)]
    starts = [start if isinstance(start, Tensor) else int(start) for start in start_indices]
    if len(starts) != rank:
        raise ShapeError(f"{len(starts)} start indices for a tensor of rank {rank}.")
    return starts


def _clamped(start: Any, highest: int) -> Any:
    """A start at which the window still fits."""
    if isinstance(start, int):
        return min(max(start, 0), highest)
    start = as_tensor(start, "int32")
    return p.minimum(p.maximum(start, like(start, 0)), like(start, highest))


@op
def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """The block of `shape` that begins at `start_indices`, which may be tensors; it is moved to fit inside.

    An extent of -1 means: to the end.
    """
    x = as_tensor(inputs)
    starts, wanted = _starts(start_indices, len(x.shape)), as_shape(shape)
    for axis, (start, length) in enumerate(zip(starts, wanted)):
        extent = x.shape[axis]
        if length == -1 and isinstance(start, int):
            length = extent - min(max(start, 0), extent)
        if not 0 <= length <= extent:
            raise ShapeError(f"slice: a block of shape {wanted} does not fit into {x.shape}.")
        start = _clamped(start, extent - length)
        if isinstance(start, int):
            x = slice_axis(x, axis, start, start + length)
        else:
            x = p.gather(x, elementwise(p.add, counting((length,), 0, "int32"), start), axis=axis)
    return x


@op
def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """`inputs` with the block that begins at `start_indices` replaced; it is moved to fit inside."""
    x = as_tensor(inputs)
    block = as_tensor(updates, dtype_of(x))
    if len(block.shape) != len(x.shape) or any(ours > theirs for ours, theirs in zip(block.shape, x.shape)):
        raise ShapeError(f"slice_update: a block of shape {block.shape} does not fit into {x.shape}.")
    starts = _starts(start_indices, len(x.shape))
    inside = None
    for axis, (start, extent) in enumerate(zip(starts, x.shape)):
        length = block.shape[axis]
        if length == extent:
            continue
        if length == 0:
            return x
        # Where in the block each place along this axis would be.
        line = counting((extent,), 0, "int32")
        start = as_tensor(_clamped(start, extent - length))
        place = elementwise(p.subtract, line, start)
        block = p.gather(block, place, axis=axis)
        covered = p.bitwise_and(p.greater_equal(place, like(place, 0)), p.less(place, like(place, length)))
        covered = p.broadcast(covered, shape=x.shape, axes=(axis,))
        inside = covered if inside is None else p.bitwise_and(inside, covered)
    return block if inside is None else p.select(inside, block, x)


# --- one-hot ---------------------------------------------------------------------------------------


def _comparable(x: Any) -> Any:
    """Class numbers in a dtype that can count all classes."""
    kind = dtype_of(x)
    if dtypes.is_float(kind):
        return as_tensor(x, dtypes.result_type(kind, "float32"))
    return as_tensor(x, "int32") if kind in ("bool", "int8", "int16", "uint8", "uint16") else x


def matches_class(x: Any, num_classes: int, axis: int) -> Any:
    """Whether class k is the one in x, along a new axis that counts the classes."""
    x = _comparable(as_tensor(x))
    place = normalize_axis(axis, len(x.shape) + 1)
    shape = (*x.shape[:place], num_classes, *x.shape[place:])
    others = tuple(other for other in range(len(shape)) if other != place)
    return p.equal(p.broadcast(x, shape=shape, axes=others), counting(shape, place, dtype_of(x)))


@op
def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """1 at the class that x names and 0 at the others, along a new axis; all 0 for a class out of range."""
    if sparse:
        raise DTypeError("Lamina has dense tensors only.", fix="leave out sparse=True.")
    return as_tensor(matches_class(x, int(num_classes), axis), dtypes.standardize(dtype))


@op
def multi_hot(
    inputs: Any,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: Any = None,
    sparse: bool = False,
    **kwargs: Any,
) -> Any:
    """1 at every class that a row names, and 0 at the others: (batch, n) to (batch, num_classes).

    `num_tokens`, the old name of `num_classes`, is accepted.
    """
    num_classes = kwargs.pop("num_tokens", num_classes)
    if num_classes is None or kwargs:
        raise ArgumentError(
            "multi_hot needs num_classes, and has no other arguments.", got=", ".join(kwargs) or None
        )
    if sparse:
        raise DTypeError("Lamina has dense tensors only.", fix="leave out sparse=True.")
    matches = matches_class(as_tensor(as_tensor(inputs), "int32"), int(num_classes), axis)
    reduced = 1 if len(as_tensor(inputs).shape) > 1 else 0
    return as_tensor(p.reduce_max(matches, axes=(reduced,)), dtypes.standardize(dtype))


@op
def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Row-major places in a tensor of `shape` as one index tensor per axis."""
    extents = as_shape(shape)
    rest = from_front(indices, size(extents)) if size(extents) else as_tensor(indices)
    found = []
    for extent in reversed(extents):
        found.append(p.remainder(rest, like(rest, extent)))
        rest = p.floor_divide(rest, like(rest, extent))
    return tuple(reversed(found))
