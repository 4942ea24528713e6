"""Products of tensors over shared axes: each is `dot` of the table, with axes put in order around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.shapes import broadcast as broadcast_shapes
from lamina.core.shapes import normalize_axis
from lamina.ir import primitives as p
from lamina.ir.trace import Tensor
from lamina.ops.arithmetic import multiply
from lamina.ops.convert import as_tensor, dtype_of, elementwise, lift, promote, spread
from lamina.ops.move import diagonal, moveaxis, reshaped, transposed
from lamina.ops.registry import op

Axes = Sequence[int]


def contracted(x1: Any, x2: Any, axes1: Axes, axes2: Axes, batch1: Axes = (), batch2: Axes = ()) -> Any:
    """`dot` of the table; booleans are multiplied as int32 and come out as booleans."""
    kind = dtype_of(x1)
    if kind == "bool":
        x1, x2 = as_tensor(x1, "int32"), as_tensor(x2, "int32")
    result = p.dot(x1, x2, contract=(tuple(axes1), tuple(axes2)), batch=(tuple(batch1), tuple(batch2)))
    return as_tensor(result, "bool") if kind == "bool" else result


def _operands(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Promoted; two int8 tensors are multiplied in int32, as on every machine that has such products."""
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if dtype_of(x1) == dtype_of(x2) == "int8":
        return as_tensor(x1, "int32"), as_tensor(x2, "int32")
    first, second = promote(x1, x2)
    return first, second


@op
def matmul(x1: Any, x2: Any) -> Any:
    """The matrix product of the last two axes, broadcast over the ones before; vectors lose their axis.

    Shapes: (..., m, k) and (..., k, n) give (..., m, n).
    """
    x1, x2 = _operands(x1, x2)
    rank1, rank2 = len(x1.shape), len(x2.shape)
    if rank1 == 0 or rank2 == 0:
        raise ShapeError(f"matmul needs at least vectors, got shapes {x1.shape} and {x2.shape}.")
    if x1.shape[-1] != x2.shape[max(rank2 - 2, 0)]:
        raise ShapeError(
            f"matmul: shapes {x1.shape} and {x2.shape} do not fit.",
            expected="the last extent of the first equal to the last but one of the second",
            got=f"{x1.shape[-1]} and {x2.shape[max(rank2 - 2, 0)]}",
        )
    if rank2 <= 2:
        return contracted(x1, x2, (rank1 - 1,), (0,))
    if rank1 <= 2:
        product = contracted(x2, x1, (rank2 - 2,), (rank1 - 1,))
        return product if rank1 == 1 else moveaxis(product, -1, -2)
    batch = broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    if isinstance(x1, Tensor) or isinstance(x2, Tensor):
        x1, x2 = lift(x1), lift(x2)
    x1, x2 = spread(x1, batch + x1.shape[-2:]), spread(x2, batch + x2.shape[-2:])
    places = tuple(range(len(batch)))
    return contracted(x1, x2, (len(batch) + 1,), (len(batch),), places, places)


@op
def dot(x1: Any, x2: Any) -> Any:
    """The sum of products over the last axis of x1 and the last but one (of a vector: the only one) of x2."""
    x1, x2 = promote(x1, x2)
    rank1, rank2 = len(x1.shape), len(x2.shape)
    if rank1 == 0 or rank2 == 0:
        return multiply(x1, x2)
    return contracted(x1, x2, (rank1 - 1,), (max(rank2 - 2, 0),))


@op
def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """The sum of products over `axes`: so many last and first ones, or a pair of lists of axes."""
    x1, x2 = _operands(x1, x2)
    rank1, rank2 = len(x1.shape), len(x2.shape)
    if isinstance(axes, int):
        first, second = list(range(rank1 - axes, rank1)), list(range(axes))
    else:
        first, second = ([entry] if isinstance(entry, int) else list(entry) for entry in axes)
    if len(first) != len(second):
        raise ArgumentError(f"tensordot: {len(first)} axes of x1 against {len(second)} of x2.")
    ours = [normalize_axis(axis, rank1) for axis in first]
    theirs = [normalize_axis(axis, rank2) for axis in second]
    return contracted(x1, x2, ours, theirs)


@op
def inner(x1: Any, x2: Any) -> Any:
    """The sum of products over the last axes of both."""
    x1, x2 = promote(x1, x2)
    if not x1.shape or not x2.shape:
        return multiply(x1, x2)
    return contracted(x1, x2, (len(x1.shape) - 1,), (len(x2.shape) - 1,))


@op
def vdot(x1: Any, x2: Any) -> Any:
    """The sum of the products of all elements."""
    x1, x2 = promote(x1, x2)
    return contracted(reshaped(x1, (x1.size,)), reshaped(x2, (x2.size,)), (0,), (0,))


@op
def outer(x1: Any, x2: Any) -> Any:
    """Each element of x1 times each element of x2, as a matrix."""
    x1, x2 = promote(x1, x2)
    return multiply(reshaped(x1, (x1.size, 1)), reshaped(x2, (1, x2.size)))


@op
def kron(x1: Any, x2: Any) -> Any:
    """The Kronecker product: x2 scaled by each element of x1, as blocks."""
    x1, x2 = promote(x1, x2)
    rank = max(len(x1.shape), len(x2.shape))
    first = (1,) * (rank - len(x1.shape)) + x1.shape
    second = (1,) * (rank - len(x2.shape)) + x2.shape
    left = reshaped(x1, tuple(extent for one in first for extent in (one, 1)))
    right = reshaped(x2, tuple(extent for one in second for extent in (1, one)))
    return reshaped(multiply(left, right), tuple(a * b for a, b in zip(first, second)))


@op
def cross(
    x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The vector product of vectors along an axis with 3 entries, or 2 (whose third is then 0)."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x1, x2 = promote(x1, x2)
    x1, x2 = moveaxis(x1, axisa, -1), moveaxis(x2, axisb, -1)
    if x1.shape[-1] not in (2, 3) or x2.shape[-1] not in (2, 3):
        raise ShapeError(f"cross needs vectors with 2 or 3 entries, got {x1.shape[-1]} and {x2.shape[-1]}.")
    a, b = _components(x1), _components(x2)

    def minor(i: int, j: int) -> Any:
        return _difference(_product(a[i], b[j]), _product(a[j], b[i]))

    if x1.shape[-1] == x2.shape[-1] == 2:
        return minor(0, 1)
    parts = [minor(1, 2), minor(2, 0), minor(0, 1)]
    from lamina.ops.join import stack

    return stack(parts, axisc)


def _components(x: Any) -> list[Any]:
    from lamina.ops.join import unstack

    parts: list[Any] = list(unstack(x, axis=-1))
    return parts + [None] * (3 - len(parts))


def _product(a: Any, b: Any) -> Any:
    return None if a is None or b is None else elementwise(p.multiply, a, b)


def _difference(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return p.negative(b) if a is None else a
    return elementwise(p.subtract, a, b)


# --- einsum ----------------------------------------------------------------------------------------


@op
def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Any:
    """A sum of products in Einstein's notation, as `np.einsum`: "bij,bjk->bik".

    Letters missing in the result are summed over; "..." stands for axes that are broadcast.
    """
    tensors = list(promote(*operands))
    small = len(tensors) > 0 and all(dtype_of(as_tensor(operand)) == "int8" for operand in operands)
    if small:
        tensors = [as_tensor(tensor, "int32") for tensor in tensors]
    inputs, output = _parse(subscripts, [len(tensor.shape) for tensor in tensors])
    tensors = _broadcast_labels(tensors, inputs)
    terms = [_without_repeats(tensor, labels) for tensor, labels in zip(tensors, inputs)]
    while len(terms) > 1:
        first, second = _next_pair(terms, output)
        pair = (terms[first], terms[second])
        rest = [term for number, term in enumerate(terms) if number not in (first, second)]
        needed = set(output).union(*(labels for _, labels in rest))
        terms = [_contract_pair(*pair, needed), *rest]
    tensor, labels = _sum_out(terms[0], set(output))
    return transposed(tensor, tuple(labels.index(label) for label in output))


def _parse(subscripts: str, ranks: list[int]) -> tuple[list[str], str]:
    """Labels of each operand and of the result; the axes behind "..." get labels of their own."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ranks):
        raise ArgumentError(f"einsum '{subscripts}' names {len(inputs)} operands, got {len(ranks)}.")
    hidden = [
        rank - len(labels.replace("...", "")) if "..." in labels else 0 for labels, rank in zip(inputs, ranks)
    ]
    extra = "".join(chr(0x2460 + number) for number in range(max(hidden, default=0)))
    filled = [labels.replace("...", extra[len(extra) - count :]) for labels, count in zip(inputs, hidden)]
    if any(len(labels) != rank for labels, rank in zip(filled, ranks)):
        raise ArgumentError(f"einsum '{subscripts}' does not fit operands of ranks {ranks}.")
    if not arrow:
        letters = "".join(inputs).replace("...", "")
        right = "..." * bool(extra) + "".join(
            sorted(label for label in set(letters) if letters.count(label) == 1)
        )
    output = right.replace("...", extra)
    unknown = set(output) - set("".join(filled))
    if unknown or len(set(output)) != len(output):
        raise ArgumentError(f"einsum '{subscripts}': the result must name axes of the operands, each once.")
    return filled, output


def _broadcast_labels(tensors: list[Any], inputs: list[str]) -> list[Any]:
    """Tensors in which one label has one extent everywhere."""
    extents: dict[str, int] = {}
    for tensor, labels in zip(tensors, inputs):
        for label, extent in zip(labels, tensor.shape):
            known = extents.setdefault(label, extent)
            if known == 1:
                extents[label] = extent
            elif extent not in (1, known):
                raise ShapeError(
                    f"einsum: one index has extent {known} in one operand and {extent} in another."
                )
    result = []
    for tensor, labels in zip(tensors, inputs):
        shape = tuple(extents[label] for label in labels)
        result.append(tensor if tensor.shape == shape else spread(tensor, shape))
    return result


def _without_repeats(tensor: Any, labels: str) -> tuple[Any, str]:
    """Take diagonals until every label occurs once."""
    for label in labels:
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            tensor = diagonal(tensor, 0, first, second)
            labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    return tensor, labels


def _sum_out(term: tuple[Any, str], needed: set[str]) -> tuple[Any, str]:
    tensor, labels = term
    axes = tuple(axis for axis, label in enumerate(labels) if label not in needed)
    if not axes:
        return term
    kept = "".join(label for label in labels if label in needed)
    if dtype_of(tensor) == "bool":
        return p.reduce_max(tensor, axes=axes), kept
    return p.reduce_sum(tensor, axes=axes), kept


def _contract_pair(one: tuple[Any, str], other: tuple[Any, str], needed: set[str]) -> tuple[Any, str]:
    x, x_labels = _sum_out(one, needed | set(other[1]))
    y, y_labels = _sum_out(other, needed | set(one[1]))
    shared = [label for label in x_labels if label in y_labels]
    batch = [label for label in shared if label in needed]
    summed = [label for label in shared if label not in needed]
    result = contracted(
        x,
        y,
        [x_labels.index(label) for label in summed],
        [y_labels.index(label) for label in summed],
        [x_labels.index(label) for label in batch],
        [y_labels.index(label) for label in batch],
    )
    free = [label for label in x_labels + y_labels if label not in shared]
    return result, "".join(batch + free)


def _next_pair(terms: list[tuple[Any, str]], output: str) -> tuple[int, int]:
    """Of all pairs, the one whose product is smallest."""

    def result_size(first: int, second: int) -> int:
        others = (labels for number, (_, labels) in enumerate(terms) if number not in (first, second))
        needed = set(output).union(*others)
        extents = {
            label: extent
            for number in (first, second)
            for label, extent in zip(terms[number][1], terms[number][0].shape)
        }
        return math.prod(extent for label, extent in extents.items() if label in needed)

    pairs = [(first, second) for second in range(len(terms)) for first in range(second)]
    return min(pairs, key=lambda pair: result_size(*pair))


# --- products along a line -------------------------------------------------------------------------


@op
def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """The sums of products of x1 with x2 moved along it. mode: "valid", "same" or "full" overlap."""
    x1, x2 = promote(x1, x2)
    if len(x1.shape) != 1 or len(x2.shape) != 1:
        raise ShapeError(f"correlate needs vectors, got shapes {x1.shape} and {x2.shape}.")
    if mode not in ("valid", "same", "full"):
        raise ArgumentError(f"Unknown mode {mode!r} of correlate.", expected="'valid', 'same' or 'full'")
    is_swapped = x1.shape[0] < x2.shape[0]
    if is_swapped:
        x1, x2 = x2, x1
    length, window = x1.shape[0], x2.shape[0]
    low = {"valid": 0, "same": window // 2, "full": window - 1}[mode]
    high = {"valid": 0, "same": window - 1 - window // 2, "full": window - 1}[mode]
    if is_swapped and mode == "same":
        low, high = high, low
    padded = p.pad(x1, as_tensor(0, dtype_of(x1)), low=(low,), high=(high,), interior=(0,))
    count = length + low + high - window + 1
    places = np.arange(count, dtype=np.int32)[:, None] + np.arange(window, dtype=np.int32)
    result = contracted(p.gather(padded, places, axis=0), x2, (1,), (0,))
    return p.reverse(result, axes=(0,)) if is_swapped else result


@op
def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    """The windows of `sequence_length` along the last axis, one every `sequence_stride`.

    Shapes: (..., n) to (..., windows, sequence_length).
    """
    x = as_tensor(x)
    last = len(x.shape) - 1
    count = 1 + (x.shape[last] - sequence_length) // sequence_stride
    if count < 1:
        raise ShapeError(f"No window of {sequence_length} fits into an axis of extent {x.shape[last]}.")
    starts = np.arange(count, dtype=np.int32)[:, None] * np.int32(sequence_stride)
    return p.gather(x, starts + np.arange(sequence_length, dtype=np.int32), axis=last)
