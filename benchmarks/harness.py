"""Alternating measurements: every contestant in a process of its own, taking turns; ratios of medians.

Machines are noisy and change speed over time, so no contestant is measured alone: round after round each runs once
while the others sleep. A contestant is a module in `benchmarks.peers` with `prepare(task) -> function`; the
function does one round and returns the seconds that count.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass
class Result:
    """Seconds per unit of work for each contestant."""

    task: dict[str, Any]
    unit: str
    times: dict[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return statistics.median(self.times[name])

    @property
    def fastest_peer(self) -> str:
        return min((name for name in self.times if name != "lamina"), key=self.median)

    @property
    def speedup(self) -> float:
        """How many times faster Lamina is than the fastest peer: the ratio of medians."""
        return self.median(self.fastest_peer) / self.median("lamina")


class Contestant:
    """A worker process that runs one round whenever it is told to."""

    def __init__(self, name: str, task: dict[str, Any], threads: int) -> None:
        self.name = name
        environment = dict(os.environ)
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LAMINA_NUM_THREADS"):
            environment[variable] = str(threads)
        environment.update(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", PYTHONPATH=str(ROOT), TF_CPP_MIN_LOG_LEVEL="3")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.harness", name, json.dumps(task)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
            cwd=ROOT,
        )  # fmt: skip
        self.ready = self._answer() == "ready"

    def _answer(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                return line[1:].strip()
        return ""

    def round(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self._answer())

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def compare(task: dict[str, Any], contestants: list[str], rounds: int, unit: str, threads: int = 2) -> Result:
    """Let the contestants take turns for some rounds, after one round each that does not count."""
    running = [Contestant(name, task, threads) for name in contestants]
    result = Result(task, unit)
    present = [worker for worker in running if worker.ready]
    for worker in running:
        if not worker.ready:
            print(f"  {worker.name} is not installed or failed to start", file=sys.stderr)
    try:
        for number in range(rounds + 1):
            for worker in present:
                time.sleep(0.25)  # let the spinning threads of the previous one fall asleep
                seconds = worker.round()
                if number:
                    result.times.setdefault(worker.name, []).append(seconds)
    finally:
        for worker in running:
            worker.stop()
    return result


def show(title: str, result: Result) -> None:
    """A table for people."""
    print(f"\n{title}")
    best = result.median("lamina") if "lamina" in result.times else None
    for name in sorted(result.times, key=result.median):
        median, low = result.median(name), min(result.times[name])
        ratio = "" if best is None or name == "lamina" else f"   Lamina is {median / best:5.2f} times as fast"
        print(f"  {name:16s} {_text(median):>10s} per {result.unit} (best {_text(low)}){ratio}")


def save(name: str, results: dict[str, Any]) -> Path:
    """The figures as JSON, with the machine they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    machine = {
        "processor": processor(), "cores": os.cpu_count(), "system": platform.platform(),
        "python": platform.python_version(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    plain = {
        key: {**asdict(value), "median": {name: value.median(name) for name in value.times}, "speedup": value.speedup}
        if isinstance(value, Result)
        else value
        for key, value in results.items()
    }
    path.write_text(json.dumps({"machine": machine, "results": plain}, indent=1))
    return path


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _text(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def _serve(name: str, task: dict[str, Any]) -> None:
    try:
        run = importlib.import_module(f"benchmarks.peers.{name}").prepare(task)
    except ImportError as error:
        print(f"@missing {error}", flush=True)
        return
    print("@ready", flush=True)
    for _ in sys.stdin:
        print(f"@{run()}", flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], json.loads(sys.argv[2]))
