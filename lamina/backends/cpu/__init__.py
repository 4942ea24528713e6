"""The native backend: our own compiler, through LLVM, to multi-threaded code for the processor at hand.

Order of processing, one module each: decompose, fuse (views), plan, describe (nest), lower and product and
special (points, math, contract), assemble (barrier, context), jit (image); then executable, with cache,
threads and pace.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from lamina.backends.base import Array, KernelReport, Program, Report
from lamina.backends.cpu import cache
from lamina.backends.cpu.executable import CpuExecutable, Layout
from lamina.backends.cpu.target import Target
from lamina.core.config import config
from lamina.core.dtypes import to_numpy

__all__ = ["CpuBackend", "CpuExecutable"]


class CpuBackend:
    """Compiles programs to machine code, or finds them compiled in the disk cache."""

    name = "cpu"

    def compile(self, program: Program, key: str) -> CpuExecutable:
        start = time.perf_counter()
        target = Target.host()
        entry = cache.key(key, target.key, *cache.revisions())
        found = None if config.debug else cache.read(entry)
        if found is None:
            head, blob = _build(program, target)
            cache.write(entry, head, blob)
        else:
            head, blob = found
        executable = _executable(program, target, head, blob)
        executable.report.cache_hit = found is not None
        executable.report.compile_seconds = time.perf_counter() - start
        return executable


def _build(program: Program, target: Target) -> tuple[dict[str, Any], bytes]:
    """Everything that happens on a cache miss."""
    from lamina.backends.cpu import jit

    loading = jit.load_llvm()  # while the program is made ready for it
    from lamina.backends.cpu.assemble import Assembler
    from lamina.backends.cpu.decompose import decompose
    from lamina.backends.cpu.plan import make_plan
    from lamina.backends.cpu.touched import only_touched_rows
    from lamina.passes import pipeline

    stages: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        stages[stage], clock = now - clock, now

    optimized = program.with_results(pipeline.run(program.graph.outputs))
    lap("passes")
    decomposed = optimized.with_results(decompose(optimized.graph.outputs))
    plan = make_plan(only_touched_rows(decomposed))
    lap("fuse and plan")
    assembly = Assembler(plan, target).assemble()
    threads = config.num_threads or target.cores
    parts = assembly.module.parts(threads)
    lap("emit")
    loading.join()
    lap("load LLVM")
    code = jit.compile_parts(parts, target, threads)
    lap("machine code")
    _dump(program, optimized, assembly.kernels_text, assembly.module.text, target)
    constants = [value.constant for value in plan.constants]
    blob = bytearray()
    described = []
    for array in constants:
        assert array is not None
        described.append({"dtype": array.dtype.name, "shape": list(array.shape), "bytes": array.nbytes})
        blob += np.ascontiguousarray(array).tobytes()
    head = {
        "arena_bytes": plan.arena_bytes,
        "scratch_bytes": assembly.scratch_bytes,
        "nanoseconds": assembly.nanoseconds,
        "claims": assembly.claims,
        "constants": described,
        "kernels": [asdict(report) for report in assembly.reports],
        "stages": stages,
        "code_bytes": len(code),
    }
    return head, code + bytes(blob)


def _executable(program: Program, target: Target, head: dict[str, Any], blob: bytes) -> CpuExecutable:
    from lamina.backends.cpu import jit

    constants: list[Array] = []
    position = head["code_bytes"]
    for entry in head["constants"]:
        raw = np.frombuffer(blob, np.uint8, entry["bytes"], position)
        constants.append(raw.view(to_numpy(entry["dtype"])).reshape(entry["shape"]))
        position += entry["bytes"]
    layout = Layout(
        head["arena_bytes"], head["scratch_bytes"], head["nanoseconds"], head["claims"], target.cores
    )
    report = Report(
        program.name,
        "cpu",
        "",
        kernels=[KernelReport(**entry) for entry in head["kernels"]],
        arena_bytes=head["arena_bytes"],
        state_bytes=sum(value.size * to_numpy(value.dtype).itemsize for value in program.states),
        stages=head["stages"],
        target=str(target),
    )
    return CpuExecutable(program, jit.load(blob[: head["code_bytes"]]), layout, constants, report)


def _dump(
    program: Program, optimized: Program, kernels: list[str], text_of: Callable[[], str], target: Target
) -> None:
    """What LAMINA_DEBUG asks to see, on standard error."""
    if not config.debug:
        return
    from lamina.backends.cpu import jit
    from lamina.ir.text import to_text

    if config.wants("graph"):
        print(f"-- graph of {program.name}\n{to_text(optimized.graph)}", file=sys.stderr)
    if config.wants("kernels"):
        print(f"-- kernels of {program.name}\n" + "\n".join(kernels), file=sys.stderr)
    if config.wants("llvm"):
        print(f"-- LLVM IR of {program.name}\n{text_of()}", file=sys.stderr)
    if config.wants("assembly"):
        print(f"-- assembly of {program.name}\n{jit.assembly(text_of(), target)}", file=sys.stderr)
