"""How many floating-point operations per second can this machine do at all?

A loop of independent fused multiply-adds that never leaves the registers, made with the same compiler as
the kernels, on one core and on all usable ones. `python -m benchmarks.probe` prints a table; kernels are
judged by their share of it.
"""

from __future__ import annotations

import ctypes
import json
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache

from lamina.backends.cpu import jit
from lamina.backends.cpu.emit import ELEMENT, Builder, Module, vector
from lamina.backends.cpu.target import Target

_CHAINS = {16: 12, 32: 24}
_ROUNDS = 20_000


def probe_text(target: Target, dtype: str) -> tuple[str, int]:
    """The loop as LLVM text, and its operations per round."""
    lanes, chains = target.lanes(dtype), _CHAINS[target.registers]
    kind = vector(ELEMENT[dtype], lanes)
    module = Module(target.function_attributes)
    builder = Builder(module, "probe", [("ptr", "data"), ("i64", "rounds")])
    data, rounds = builder.arguments
    factor = builder.load(kind, data)
    with builder.loop(0, rounds, 1, [factor] * chains) as loop:
        for value in loop.carried:
            if target.fma:
                loop.next.append(builder.intrinsic("fma", kind, factor, factor, value))
            else:
                loop.next.append(builder.op("fadd", builder.op("fmul", factor, value), factor))
    for number, value in enumerate(loop.results):
        builder.store(value, builder.pointer(data, number * lanes, ELEMENT[dtype]))
    builder.finish()
    return module.text(), 2 * lanes * chains


@lru_cache(maxsize=8)
def probe(target: Target, dtype: str = "float32") -> Callable[[], float]:
    """A function that runs the loop for about 0.1 ms and returns its operations per second."""
    text, operations = probe_text(target, dtype)
    code = jit.load(jit.compile_object(text, target))
    entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.address("probe"))
    data = ctypes.create_string_buffer(64 * 64 + 64)
    start = (ctypes.addressof(data) + 63) & ~63

    def run(keep: object = (code, data)) -> float:
        before = time.perf_counter()
        entry(start, _ROUNDS)
        return operations * _ROUNDS / (time.perf_counter() - before)

    return run


def on_threads(run: Callable[[], float], threads: int, times: int) -> float:
    """The sum over the threads of each one's best rate, all running together."""
    rates = [0.0] * threads
    gate = threading.Barrier(threads)

    def work(number: int) -> None:
        gate.wait()
        rates[number] = max(run() for _ in range(times))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(rates)


def main() -> None:
    target = Target.host()
    rows = []
    for dtype in ("float32", "float64"):
        run = probe(target, dtype)
        for threads in sorted({1, target.cores}):
            rate = max(on_threads(run, threads, 200) for _ in range(5))
            rows.append({"dtype": dtype, "threads": threads, "gflops": round(rate / 1e9, 1)})
    if "--json" in sys.argv:
        print(json.dumps({"target": str(target), "rows": rows}, indent=2))
        return
    print(f"{target}\n{'dtype':10}{'threads':>8}{'GFLOP/s':>10}")
    for row in rows:
        print(f"{row['dtype']:10}{row['threads']:>8}{row['gflops']:>10}")


if __name__ == "__main__":
    main()
