"""The matrix products of dense networks: our kernels, the libraries beside them, and the machine's limit.

`python -m benchmarks.matmul [--json FILE] [--threads 1 2] [NAME ...]`. Every product is timed in many short
runs that alternate with a register-only loop of multiply-adds (`benchmarks.probe`); the table gives the best
rate of each and its share of the probe's. On several threads, each does its share of the tasks, all at once.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.probe import probe
from lamina.backends.cpu import jit
from lamina.backends.cpu.contract import ContractPlan, ContractSpec, emit_contract, plan_contract
from lamina.backends.cpu.emit import Builder, Module, Register
from lamina.backends.cpu.target import Target

Array = np.ndarray[Any, Any]
SLICE_SECONDS = 1e-4


@dataclass(frozen=True)
class Product:
    """C (m x n) = A (m x k) times B (k x n), where A or B may be stored transposed."""

    name: str
    m: int
    n: int
    k: int
    a_transposed: bool = False
    b_transposed: bool = False

    @property
    def spec(self) -> ContractSpec:
        a_strides = (0, 1, self.m) if self.a_transposed else (0, self.k, 1)
        b_strides = (0, 1, self.k) if self.b_transposed else (0, self.n, 1)
        return ContractSpec(self.m, self.n, self.k, 1, a_strides, b_strides, (0, self.n, 1))


def dense(
    name: str, batch: int, inputs: int, outputs: int, with_input_gradient: bool = True
) -> list[Product]:
    """The three products of a dense layer: outputs, gradient of the inputs, gradient of the weights."""
    products = [Product(f"{name} forward", batch, outputs, inputs)]
    if with_input_gradient:
        products.append(Product(f"{name} dX", batch, inputs, outputs, b_transposed=True))
    products.append(Product(f"{name} dW", inputs, outputs, batch, a_transposed=True))
    return products


PRODUCTS = [
    *dense("128: 784-512", 128, 784, 512, with_input_gradient=False),
    *dense("128: 512-512", 128, 512, 512),
    *dense("128: 512-10", 128, 512, 10),
    *dense("32: 784-512", 32, 784, 512, with_input_gradient=False),
    *dense("32: 512-512", 32, 512, 512),
    *dense("32: 20-64", 32, 20, 64, with_input_gradient=False),
    *dense("32: 64-64", 32, 64, 64),
    *dense("32: 64-2", 32, 64, 2),
    *dense("32: 64-1", 32, 64, 1),
    Product("1: 784-512 forward", 1, 512, 784),
    Product("1: 64-64 forward", 1, 64, 64),
    Product("square 1024", 1024, 1024, 1024),
    Product("square 2048", 2048, 2048, 2048),
]


def aligned(shape: Sequence[int], generator: np.random.Generator | None = None) -> Array:
    """A float32 array at a 64-byte boundary, as Lamina's arena gives them."""
    size = int(np.prod(shape))
    raw = np.zeros(size + 16, np.float32)
    start = (-raw.ctypes.data % 64) // 4
    array = raw[start : start + size].reshape(shape)
    if generator is not None:
        array[:] = generator.standard_normal(shape, dtype=np.float32)
    return array


class Operands:
    """The arrays of one product, as they are stored and as NumPy multiplies them."""

    def __init__(self, product: Product) -> None:
        generator = np.random.default_rng(0)
        m, n, k = product.m, product.n, product.k
        self.a = aligned((k, m) if product.a_transposed else (m, k), generator)
        self.b = aligned((n, k) if product.b_transposed else (k, n), generator)
        self.c = aligned((m, n))
        self.x = self.a.T if product.a_transposed else self.a
        self.y = self.b.T if product.b_transposed else self.b


class Kernel:
    """One of our kernels, callable some number of times in a row without coming back to Python."""

    def __init__(self, plan: ContractPlan) -> None:
        self.plan = plan
        module = Module(plan.target.function_attributes)
        emit_contract(module, plan, "product")
        pointers = [("ptr", name) for name in ("a", "b", "c", "scratch")]
        builder = Builder(module, "repeat", [*pointers, ("i64", "begin"), ("i64", "end"), ("i64", "times")])
        *arguments, times = builder.arguments
        with builder.loop(0, times):
            builder.emit(f"call void @product({', '.join(_typed(argument) for argument in arguments)})")
        builder.finish()
        started = time.perf_counter()
        data = jit.compile_object(module.text(), plan.target)
        self.compile_seconds = time.perf_counter() - started
        self.code = jit.load(data)
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 3)
        self.function = signature(self.code.address("repeat"))

    def share(self, operands: Operands, number: int = 0, threads: int = 1) -> list[Callable[[int], None]]:
        """This thread's share of the tasks, in parts of about SLICE_SECONDS that run some number of times."""
        tasks = self.plan.tasks
        begin, end = tasks * number // threads, tasks * (number + 1) // threads
        parts = max(1, min(end - begin, int(self.plan.flops / threads / (2e11 * SLICE_SECONDS))))
        bounds = [begin + (end - begin) * part // parts for part in range(parts + 1)]
        scratch = aligned((self.plan.scratch_bytes // 4 + 16,))
        addresses = [array.ctypes.data for array in (operands.a, operands.b, operands.c, scratch)]

        def part(first: int, last: int) -> Callable[[int], None]:
            return lambda times, keep=scratch: self.function(*addresses, first, last, times)

        return [part(first, last) for first, last in pairwise(bounds)]


def _typed(argument: Register) -> str:
    return f"{argument.type} {argument.text}"


def best_seconds(
    parts: Sequence[Callable[[int], None]], budget: float, between: Callable[[], object] = int
) -> float:
    """The least time of one call of every part, one after the other: many short slices, the best of each.

    Slices of about SLICE_SECONDS find the moments in which nobody else uses the core. `between` is called
    after every slice.
    """
    times = [_times_to_fill(run, SLICE_SECONDS / 2) for run in parts]
    best, deadline = [float("inf")] * len(parts), time.perf_counter() + budget
    while time.perf_counter() < deadline:
        for number, run in enumerate(parts):
            started = time.perf_counter()
            run(times[number])
            best[number] = min(best[number], (time.perf_counter() - started) / times[number])
            between()
    return sum(best)


def _times_to_fill(run: Callable[[int], None], seconds: float) -> int:
    """How many calls take about that long, once caches and pages are warm."""
    times = 1
    while True:
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            run(times)
            best = min(best, time.perf_counter() - started)
        if best >= seconds:
            return times
        times *= 2


def measure_kernel(product: Product, target: Target, threads: int, budget: float) -> dict[str, Any]:
    """Our kernel's rate on that many threads, and the probe's in the same seconds."""
    plan = plan_contract(product.spec, target)
    kernel, operands = Kernel(plan), Operands(product)
    for run in kernel.share(operands):
        run(1)
    scale = np.abs(operands.x) @ np.abs(operands.y)
    assert np.all(np.abs(operands.c - operands.x @ operands.y) <= 1e-6 * product.k * scale), product.name
    seconds, rates = [0.0] * threads, [0.0] * threads
    gate = threading.Barrier(threads)
    limit = probe(target)

    def work(number: int) -> None:
        parts = kernel.share(operands, number, threads)

        def compare() -> None:
            rates[number] = max(rates[number], limit())

        gate.wait()
        seconds[number] = best_seconds(parts, budget, compare)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    rate = plan.flops / max(seconds)
    return {
        "seconds": max(seconds),
        "gflops": rate / 1e9,
        "share": rate / sum(rates),
        "plan": plan.reason,
        "compile_ms": 1e3 * kernel.compile_seconds,
    }


def measure_peers(product: Product, threads: int, budget: float) -> dict[str, float]:
    """Billions of operations per second of PyTorch's library and of NumPy's, where they are installed."""
    operands = Operands(product)
    flops = 2 * product.m * product.n * product.k
    rates = {}
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(threads)
        x, y, c = (torch.from_numpy(array) for array in (operands.x, operands.y, operands.c))
        rates["torch"] = flops / best_seconds([_repeated(lambda: torch.mm(x, y, out=c))], budget) / 1e9
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        pass
    else:
        with threadpool_limits(threads):
            run = _repeated(lambda: np.matmul(operands.x, operands.y, out=operands.c))
            rates["numpy"] = flops / best_seconds([run], budget) / 1e9
    return rates


def _repeated(call: Callable[[], object]) -> Callable[[int], None]:
    def run(times: int) -> None:
        for _ in range(times):
            call()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the names of products; all of them by default")
    parser.add_argument("--threads", type=int, nargs="*", default=None)
    parser.add_argument("--seconds", type=float, default=0.3, help="time spent on each measurement")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    target = Target.host()
    chosen = [p for p in PRODUCTS if not options.names or any(name in p.name for name in options.names)]
    rows = []
    print(target)
    header = f"{'product':22}{'m':>5}{'n':>5}{'k':>5}{'threads':>8}{'us':>9}{'GFLOP/s':>9}{'% probe':>8}"
    print(f"{header}{'torch':>8}{'numpy':>8}  plan")
    for product in chosen:
        tasks = plan_contract(product.spec, target).tasks
        for threads in options.threads or sorted({1, min(target.cores, tasks)}):
            row: dict[str, Any] = {"product": product.name, "threads": threads}
            row |= measure_kernel(product, target, threads, options.seconds)
            row["peers"] = {} if options.no_peers else measure_peers(product, threads, options.seconds)
            rows.append(row)
            peers = "".join(f"{row['peers'].get(name, float('nan')):8.1f}" for name in ("torch", "numpy"))
            sizes = f"{product.name:22}{product.m:5}{product.n:5}{product.k:5}{threads:8}"
            rates = f"{1e6 * row['seconds']:9.2f}{row['gflops']:9.1f}{100 * row['share']:8.1f}"
            print(f"{sizes}{rates}{peers}  {row['plan']} ({row['compile_ms']:.0f} ms)", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"target": str(target), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
