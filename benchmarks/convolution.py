"""Convolutions: our kernels for all three products, PyTorch's (oneDNN) beside them, and the machine's limit.

`python -m benchmarks.convolution [--json FILE] [--threads 1 2] [NAME ...]`. As in `benchmarks.matmul`, every
kernel runs in many short slices that alternate with a register-only loop of multiply-adds; the table gives
the best rate of each and its share of the probe's. Torch gets the same tensors in its channels-last form.
Rates count the operations of direct sums, so kernels that need fewer of them may show more than 100 % (plans
that begin with "winograd"); the transform of the taps, a kernel of its own, is not part of their time.
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

from benchmarks.matmul import SLICE_SECONDS, aligned, best_seconds
from benchmarks.probe import probe
from lamina.backends.cpu import jit
from lamina.backends.cpu.convolve import (
    ConvolvePlan,
    ConvolveSpec,
    FilterPlan,
    OutputPlan,
    WinogradFilterPlan,
    WinogradPlan,
    emit_convolve,
    filter_parts,
    plan_filter,
    plan_outputs,
    plan_winograd,
)
from lamina.backends.cpu.convolve_winograd import pays, taps_size
from lamina.backends.cpu.emit import Builder, Module
from lamina.backends.cpu.target import Target

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Layer:
    """A convolution layer with square images and kernels."""

    name: str
    batch: int
    size: int
    channels: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    same: bool = True
    rank: int = 2

    @property
    def spec(self) -> ConvolveSpec:
        padding = ()
        if self.same:
            total = max((-(-self.size // self.stride) - 1) * self.stride + self.kernel - self.size, 0)
            padding = ((total // 2, total - total // 2),) * self.rank
        return ConvolveSpec.contiguous(
            self.batch, (self.size,) * self.rank, self.channels, (self.kernel,) * self.rank, self.outputs,
            (self.stride,) * self.rank, padding,
        )  # fmt: skip


LAYERS = [
    Layer("mnist 1-32", 128, 28, 1, 32, same=False),
    Layer("mnist 32-64", 128, 13, 32, 64, same=False),
    Layer("cifar 3-16", 64, 32, 3, 16),
    Layer("cifar 16-16", 64, 32, 16, 16),
    Layer("cifar 16-32 /2", 64, 32, 16, 32, stride=2),
    Layer("cifar 32-32", 64, 16, 32, 32),
    Layer("cifar 64-64", 64, 8, 64, 64),
    Layer("vgg 64-64", 32, 32, 64, 64),
    Layer("vgg 128-128", 32, 16, 128, 128),
    Layer("vgg 256-256", 32, 8, 256, 256),
    Layer("1-d 64-64", 64, 500, 64, 64, kernel=5, rank=1),
]


class Kernel:
    """One of our kernels, callable some number of times in a row without coming back to Python."""

    def __init__(self, plan: ConvolvePlan) -> None:
        self.plan = plan
        module = Module(plan.target.function_attributes)
        emit_convolve(module, plan, "product")
        pointers = [("ptr", name) for name in ("a", "b", "c", "scratch")]
        builder = Builder(module, "repeat", [*pointers, ("i64", "begin"), ("i64", "end"), ("i64", "times")])
        *arguments, times = builder.arguments
        with builder.loop(0, times):
            listed = ", ".join(f"{argument.type} {argument.text}" for argument in arguments)
            builder.emit(f"call void @product({listed})")
        builder.finish()
        started = time.perf_counter()
        data = jit.compile_object(module.text(), plan.target)
        self.compile_seconds = time.perf_counter() - started
        self.code = jit.load(data)
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 3)
        self.function = signature(self.code.address("repeat"))

    def share(self, starts: Sequence[int], number: int = 0, threads: int = 1) -> list[Callable[[int], None]]:
        """This thread's share of the tasks, in parts of about ten SLICE_SECONDS."""
        tasks = self.plan.tasks
        begin, end = tasks * number // threads, tasks * (number + 1) // threads
        parts = max(1, min(end - begin, int(self.plan.flops / threads / (2e12 * SLICE_SECONDS))))
        bounds = [begin + (end - begin) * part // parts for part in range(parts + 1)]
        scratch = aligned((self.plan.scratch_bytes // 4 + 16,))
        addresses = [*starts, scratch.ctypes.data]

        def part(first: int, last: int) -> Callable[[int], None]:
            return lambda times, keep=scratch: self.function(*addresses, first, last, times)

        return [part(first, last) for first, last in pairwise(bounds)]


def tensors(spec: ConvolveSpec) -> dict[str, Array]:
    """x, w and y of a convolution."""
    generator = np.random.default_rng(0)
    groups = spec.groups
    return {
        "x": aligned((spec.batch, *spec.image, spec.channels * groups), generator),
        "w": aligned((*spec.kernel, spec.channels, spec.outputs * groups), generator),
        "y": aligned((spec.batch, *spec.output, spec.outputs * groups), generator),
    }


def plan_either(spec: ConvolveSpec, target: Target) -> OutputPlan | WinogradPlan:
    """The plan that a program takes."""
    return plan_winograd(spec, target) if pays(spec) else plan_outputs(spec, target)


PRODUCTS: dict[str, tuple[Callable[[ConvolveSpec, Target], ConvolvePlan], str]] = {
    "forward": (plan_either, "xwy"),
    "input gradient": (lambda spec, target: plan_either(spec.turned[0], target), "ywx"),
    "filter gradient": (lambda spec, target: plan_filter(spec, target, filter_parts(spec)), "xyw"),
}


def measure_kernel(layer: Layer, product: str, target: Target, threads: int, budget: float) -> dict[str, Any]:
    """Our kernel's rate on that many threads, and the probe's in the same seconds."""
    planner, roles = PRODUCTS[product]
    plan = planner(layer.spec, target)
    kernel, arrays = Kernel(plan), tensors(layer.spec)
    operands = [arrays[role] for role in roles]
    starts = [array.ctypes.data for array in operands]
    if isinstance(plan, WinogradPlan):
        spec = plan.spec
        operands[1] = aligned((taps_size(spec.channels, spec.outputs),), np.random.default_rng(0))
        starts[1] = operands[1].ctypes.data
    elif product == "input gradient":
        starts[1] += layer.spec.turned[1] * operands[1].itemsize
    if isinstance(plan, FilterPlan | WinogradFilterPlan):
        operands[2] = aligned((plan.parts * operands[2].size,))
        starts[2] = operands[2].ctypes.data
    seconds, rates = [0.0] * threads, [0.0] * threads
    gate, limit = threading.Barrier(threads), probe(target)

    def work(number: int) -> None:
        parts = kernel.share(starts, number, threads)

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
        "seconds": max(seconds), "gflops": rate / 1e9, "share": rate / sum(rates), "plan": plan.reason,
        "compile_ms": 1e3 * kernel.compile_seconds,
    }  # fmt: skip


def measure_torch(layer: Layer, product: str, threads: int, budget: float) -> float:
    """Billions of operations per second of PyTorch's convolution; nan where it is not installed."""
    try:
        import torch
    except ImportError:
        return float("nan")
    torch.set_num_threads(threads)
    spec, arrays = layer.spec, tensors(layer.spec)
    last = spec.image.__len__() + 1
    inner = tuple(range(1, last))
    x, y = (torch.from_numpy(arrays[name]).permute(0, last, *inner) for name in ("x", "y"))
    w = torch.from_numpy(arrays["w"]).permute(last, last - 1, *range(last - 1))
    if layer.rank == 2:
        w = w.contiguous(memory_format=torch.channels_last)
    high = [reach - low - extent for reach, low, extent in zip(spec.reach, spec.low, spec.image)]
    widths = [side for pair in zip(reversed(spec.low), reversed(high)) for side in pair]
    symmetric = all(low == end for low, end in zip(spec.low, high))
    if not symmetric:
        x = torch.nn.functional.pad(x, widths)
    low = list(spec.low) if symmetric else [0] * layer.rank
    mask = {"forward": None, "input gradient": [True, False, False], "filter gradient": [False, True, False]}[
        product
    ]

    def run() -> None:
        if mask is None:
            getattr(torch.nn.functional, f"conv{layer.rank}d")(x, w, None, list(spec.strides), low)
        else:
            torch.ops.aten.convolution_backward(
                y, x, w, None, list(spec.strides), low, [1] * layer.rank, False, [0] * layer.rank, 1, mask
            )

    def repeated(times: int) -> None:
        with torch.no_grad():
            for _ in range(times):
                run()

    return spec.flops / best_seconds([repeated], budget) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the names of layers or products; all by default")
    parser.add_argument("--threads", type=int, nargs="*", default=None)
    parser.add_argument("--seconds", type=float, default=0.3, help="time spent on each measurement")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    target, rows = Target.host(), []
    print(f"{target}\n{'product':32}{'threads':>8}{'us':>10}{'GFLOP/s':>9}{'% probe':>8}{'torch':>8}  plan")
    for layer in LAYERS:
        for product in PRODUCTS:
            name = f"{layer.name} {product}"
            if product == "input gradient" and (layer.stride > 1 or layer.channels < 8):
                continue
            if options.names and not any(part in name for part in options.names):
                continue
            for threads in options.threads or (1, target.cores):
                wide = min(layer.channels, layer.outputs) >= 32
                row: dict[str, Any] = {"layer": layer.name, "product": product, "threads": threads}
                row["wide"] = wide
                row |= measure_kernel(layer, product, target, threads, options.seconds)
                peer = float("nan")
                if not options.no_peers:
                    peer = measure_torch(layer, product, threads, options.seconds)
                row["torch"] = peer
                rows.append(row)
                rates = f"{1e6 * row['seconds']:10.1f}{row['gflops']:9.1f}{100 * row['share']:8.1f}"
                rates += f"{row['torch']:8.1f}"
                print(f"{name:32}{threads:8}{rates}  {row['plan']} ({row['compile_ms']:.0f} ms)", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"target": str(target), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
