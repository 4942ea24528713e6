"""The elementwise functions: our vector code beside NumPy's and PyTorch's loops, on one core.

`python -m benchmarks.math [--json FILE] [--dtype float64] [--size N] [NAME ...]`. The contestants take turns
on the same arrays, which fit the second-level cache, in many short runs; the table gives the best rate of
each in elements per nanosecond, and ours as a multiple of the faster peer's. PyTorch takes part where it is
installed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lamina.backends.cpu import jit, math
from lamina.backends.cpu.emit import ELEMENT, Builder, Module, vector
from lamina.backends.cpu.target import Target
from lamina.ir import primitives as p

Array = np.ndarray[Any, Any]
Run = Callable[[], object]

# Name -> the range of the operands.
FUNCTIONS: dict[str, tuple[float, float]] = {
    "add": (-9, 9), "divide": (1, 9), "maximum": (-9, 9), "floor": (-9, 9), "sqrt": (0, 9), "rsqrt": (0.1, 9),
    "exp": (-20, 20), "expm1": (-3, 3), "log": (0.01, 99), "log1p": (-0.9, 9),
    "sin": (-9, 9), "cos": (-9, 9), "tan": (-9, 9), "arcsin": (-1, 1), "arccos": (-1, 1), "arctan": (-9, 9),
    "sinh": (-9, 9), "cosh": (-9, 9), "tanh": (-4, 4), "arcsinh": (-9, 9), "arccosh": (1, 9),
    "arctanh": (-1, 1),
    "sigmoid": (-9, 9), "erf": (-3, 3), "power": (0.1, 9), "arctan2": (-9, 9), "remainder": (1, 9),
}  # fmt: skip
_SLICE_SECONDS = 2e-4


def aligned(size: int, dtype: str, low: float, high: float, seed: int) -> Array:
    """Random numbers at a 64-byte boundary, as Lamina's arena gives them."""
    raw = np.empty(size + 16, dtype)
    start = (-raw.ctypes.data % 64) // raw.itemsize
    array = raw[start : start + size]
    array[:] = np.random.default_rng(seed).uniform(low, high, size)
    return array


def ours(name: str, operands: list[Array], result: Array) -> Run:
    """A loop over full vectors that calls nothing."""
    target, dtype = Target.host(), result.dtype.name
    lanes, element = target.lanes(dtype), ELEMENT[dtype]
    module = Module(target.function_attributes)
    pointers = [("ptr", f"p{number}") for number in range(len(operands) + 1)]
    builder = Builder(module, "kernel", [*pointers, ("i64", "count")])
    *arrays, count = builder.arguments
    with builder.loop(0, count, lanes) as loop:
        places = [builder.pointer(array, loop.index, element) for array in arrays]
        loaded = [builder.load(vector(element, lanes), place) for place in places[1:]]
        value = math.emit(builder, p.TABLE[name], [dtype] * len(loaded), dtype, loaded, target)
        builder.store(value, places[0])
    builder.finish()
    code = jit.load(jit.compile_object(module.text(), target))
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arrays), ctypes.c_int64)
    function = signature(code.address("kernel"))
    addresses = [array.ctypes.data for array in (result, *operands)]
    return lambda keep=code: function(*addresses, result.size)


def numpy_run(name: str, operands: list[Array], result: Array) -> Run | None:
    function = getattr(np, name, None)
    return None if function is None else lambda: function(*operands, out=result)


def torch_run(name: str, operands: list[Array], result: Array) -> Run | None:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    function = getattr(torch, {"power": "pow", "absolute": "abs"}.get(name, name))
    tensors, out = [torch.from_numpy(operand) for operand in operands], torch.from_numpy(result)
    return lambda: function(*tensors, out=out)


def best_rates(runs: dict[str, Run], size: int, budget: float) -> dict[str, float]:
    """Elements per nanosecond in the best of many short slices, taken in turns."""
    times = {}
    for name, run in runs.items():
        run()
        started = time.perf_counter()
        run()
        times[name] = max(1, int(_SLICE_SECONDS / (time.perf_counter() - started)))
    best = dict.fromkeys(runs, float("inf"))
    deadline = time.perf_counter() + budget
    while time.perf_counter() < deadline:
        for name, run in runs.items():
            started = time.perf_counter()
            for _ in range(times[name]):
                run()
            best[name] = min(best[name], (time.perf_counter() - started) / times[name])
    return {name: size / seconds / 1e9 for name, seconds in best.items()}


def measure(name: str, dtype: str, size: int, budget: float) -> dict[str, float]:
    """The rates of all contestants for one function; their results must agree."""
    low, high = FUNCTIONS[name]
    operands = [aligned(size, dtype, low, high, seed) for seed in range(p.TABLE[name].arity)]
    contestants = {"lamina": ours, "numpy": numpy_run, "torch": torch_run}
    runs: dict[str, Run] = {}
    results: dict[str, Array] = {}
    for contestant, make in contestants.items():
        result = aligned(size, dtype, 0, 1, 0)
        run = make(name, operands, result)
        if run is None:
            continue
        run()
        runs[contestant], results[contestant] = run, result.copy()
    for result in results.values():
        np.testing.assert_allclose(results["lamina"], result, rtol=100 * np.finfo(dtype).eps, atol=1e-6)
    return best_rates(runs, size, budget)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *FUNCTIONS], metavar="NAME")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--seconds", type=float, default=0.15, help="per function")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(f"{Target.host()}, {arguments.size} x {arguments.dtype}, elements per nanosecond")
    print(f"{'':12}{'lamina':>9}{'numpy':>9}{'torch':>9}{'ratio':>9}")
    found: dict[str, dict[str, float]] = {}
    for name in arguments.names or FUNCTIONS:
        rates = found[name] = measure(name, arguments.dtype, arguments.size, arguments.seconds)
        peers = [rate for contestant, rate in rates.items() if contestant != "lamina"]
        cells = [
            f"{rates[key]:9.2f}" if key in rates else f"{'-':>9}" for key in ("lamina", "numpy", "torch")
        ]
        ratio = f"{rates['lamina'] / max(peers):8.1f}x" if peers else ""
        print(f"{name:12}{''.join(cells)}{ratio}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
