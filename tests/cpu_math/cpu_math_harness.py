"""Runs one primitive's vector code on arrays, for any processor level this machine can run, and any lanes."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from lamina.backends.cpu import jit, math
from lamina.backends.cpu.emit import ELEMENT, Builder, Module, Register, vector
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import ArgumentError
from lamina.ir import primitives as p
from lamina.ir.graph import TensorType

ASSEMBLY_LEVELS = ("avx512", "avx2", "sse2", "aarch64")  # those that code is made for, here or not


def _targets() -> dict[str, Target]:
    """Those that run here: this processor, and the narrower levels of x86 that it includes."""
    found = {"host": Target.host()}
    for level in ("avx2", "sse2"):
        try:
            config.cpu_features = level
            found[level] = Target.host()
        except ArgumentError:
            continue
        finally:
            config.cpu_features = None
    return found


TARGETS = _targets()
LEVELS = tuple(TARGETS)


def kernel_text(
    name: str,
    operand_dtypes: Sequence[str],
    result_dtype: str,
    lanes: int,
    target: Target,
    looped: bool = True,
) -> str:
    """IR of `kernel(result, operands..., count)`: the primitive on `count` elements, or on one vector."""

    def body(builder: Builder, registers: list[Register]) -> Register:
        return math.emit(builder, p.TABLE[name], operand_dtypes, result_dtype, registers, target)

    return body_text(body, operand_dtypes, result_dtype, lanes, target, looped)


def body_text(
    body: Callable[[Builder, list[Register]], Register],
    operand_dtypes: Sequence[str],
    result_dtype: str,
    lanes: int,
    target: Target,
    looped: bool = True,
) -> str:
    module = Module(target.function_attributes)
    pointers = [("ptr", f"x{i}") for i in range(len(operand_dtypes) + 1)]
    builder = Builder(module, "kernel", [*pointers, ("i64", "count")])
    *arrays, count = builder.arguments

    def once(position: Register | int) -> None:
        loaded = [
            builder.load(vector(ELEMENT[dtype], lanes), builder.pointer(array, position, ELEMENT[dtype]))
            for array, dtype in zip(arrays[1:], operand_dtypes)
        ]
        result = body(builder, loaded)
        builder.store(result, builder.pointer(arrays[0], position, ELEMENT[result_dtype]))

    if looped:
        with builder.loop(0, count, lanes) as loop:
            once(loop.index)
    else:
        once(0)
    builder.finish()
    return module.text()


def run_text(text: str, target: Target, operands: Sequence[np.ndarray], result_dtype: str) -> np.ndarray:
    code = jit.load(jit.compile_object(text, target))
    result = np.empty(operands[0].shape, dtypes.to_numpy(result_dtype))
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(operands) + 1), ctypes.c_int64)(
        code.address("kernel")
    )
    function(result.ctypes.data, *(operand.ctypes.data for operand in operands), result.size)
    return result


@cache
def _compiled(name: str, operand_dtypes: tuple[str, ...], result_dtype: str, lanes: int, level: str):
    target = TARGETS[level]
    return jit.load(
        jit.compile_object(kernel_text(name, operand_dtypes, result_dtype, lanes, target), target)
    )


def run(
    name: str,
    *operands: np.ndarray,
    lanes: int | None = None,
    level: str = "host",
    result_dtype: str | None = None,
) -> np.ndarray:
    """The primitive on arrays of equal shape. The last lanes are filled up with the first elements."""
    names = tuple(dtypes.of_numpy(operand.dtype) for operand in operands)
    result_dtype = result_dtype or result_of(name, names)
    lanes = lanes or max(1, TARGETS[level].vector_bytes // max(operand.itemsize for operand in operands))
    code = _compiled(name, names, result_dtype, lanes, level)
    count = operands[0].size
    full = -(-count // lanes) * lanes
    padded = [np.resize(operand, full) for operand in operands]
    result = np.empty(full, dtypes.to_numpy(result_dtype))
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(operands) + 1), ctypes.c_int64)(
        code.address("kernel")
    )
    function(result.ctypes.data, *(operand.ctypes.data for operand in padded), full)
    return result[:count]


def result_of(name: str, operand_dtypes: Sequence[str]) -> str:
    """The dtype of the result, by the type rule."""
    return p.TABLE[name].infer(tuple(TensorType((1,), dtype) for dtype in operand_dtypes), {})[0].dtype


def operand_dtypes_of(name: str, dtype: str) -> list[str]:
    """The dtypes of the operands when the primitive works on `dtype`."""
    return ["bool", dtype, dtype] if name == "select" else [dtype] * p.TABLE[name].arity


def listing(name: str, operand_dtypes: Sequence[str], result_dtype: str, lanes: int, level: str) -> str:
    """The assembly of one application, straight (no loop)."""
    target = Target.named(level)
    return jit.assembly(kernel_text(name, operand_dtypes, result_dtype, lanes, target, looped=False), target)


def instructions(assembly: str) -> list[str]:
    """The instructions of a listing, without labels and directives."""
    lines = (re.split(r"\s# |//", line)[0].strip() for line in assembly.splitlines())
    return [line for line in lines if line and not line.startswith(".") and not line.endswith(":")]


def instructions_per_round(assembly: str) -> int:
    """Instructions on the shortest way round the loop that stores the result: rare blocks are not on it.

    The counting and jumping of the loop itself are left out.
    """
    blocks: list[list[str]] = [[]]
    labels: dict[str, int] = {}
    for line in assembly.splitlines():
        line = re.split(r"\s# |//", line)[0].strip()
        if line.endswith(":"):
            blocks.append([])
            labels[line[:-1]] = len(blocks) - 1
        elif line and not line.startswith("."):
            blocks[-1].append(line)
            if _jump(line):
                blocks.append([])
    follows: list[list[int]] = []
    for at, block in enumerate(blocks):
        jump = _jump(block[-1]) if block else None
        after = [] if (jump and jump[1] in ("jmp", "b")) or at + 1 == len(blocks) else [at + 1]
        follows.append(after + ([labels[jump[2]]] if jump else []))
    cost = [sum(not _bookkeeping(line) for line in block) for block in blocks]
    # The result is the first argument.
    start = max(
        at
        for at, block in enumerate(blocks)
        if any(re.search(r"\(%rdi|st[rp]\s.*\[x0", line) for line in block)
    )
    best = dict.fromkeys(follows[start], cost[start])
    queue = list(best)
    while queue:
        at = queue.pop(0)
        for following in follows[at]:
            if best[at] + cost[at] < best.get(following, 1 << 30):
                best[following] = best[at] + cost[at]
                queue.append(following)
    return best[start]


def _jump(line: str) -> re.Match | None:
    return re.match(r"(j\w+|b|b\.\w+)\s+(\.\w+)$", line) or re.match(r"(cbn?z|tbn?z)\s.*,\s*(\.\w+)$", line)


def _bookkeeping(line: str) -> bool:
    return bool(re.match(r"(add|cmp|sub|inc|mov|lsl)\w*\s[^(\[]*(%r|%e|\bx\d)", line) or _jump(line))
