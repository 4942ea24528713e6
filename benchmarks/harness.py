"""Alternating measurements: every contestant in a process of its own, taking turns; ratios of medians.

Machines are noisy and change speed over time, so no contestant is measured alone: round after round each runs
once while the others sleep. A contestant is a module in `benchmarks.peers` with `prepare(task) -> function`;
the function does one round and returns the seconds that count.

A script ends with `conclude(name, figures, details)`: a table of figures beside their targets, and the same
in `results/NAME.json`.
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"

# Contestants that are no peers: Lamina, and what the arithmetic alone would take.
OURS, LIMIT = "lamina", "limit"
# Where Keras finds what it computes with; and, for peers that do not get on with the others in one
# environment, the variable that names a Python which has them.
_KERAS_ON = {"keras_jax": "jax", "keras_torch": "torch", "keras_tensorflow": "tensorflow"}
_PYTHONS = {"keras_tensorflow": "LAMINA_BENCH_TENSORFLOW_PYTHON"}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LAMINA_NUM_THREADS", "NPROC")


def is_quick() -> bool:
    """Whether the script was asked for fewer rounds."""
    return "--quick" in sys.argv


# --- processes -------------------------------------------------------------------------------------


def environment(threads: int | None = None, **more: str) -> dict[str, str]:
    """The environment of a worker process: that many threads for every library, JAX on the CPU."""
    found = dict(os.environ, PYTHONPATH=str(ROOT), KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    if threads is not None:
        found.update(dict.fromkeys(_THREADS, str(threads)))
    return found | more


def in_fresh_process(module: str, *arguments: str, **more: str) -> Any:
    """What `python -m module arguments` prints last, read as JSON. more: environment variables."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=environment(**more), cwd=ROOT, check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


class Contestant:
    """A worker process that runs one round whenever it is told to.

    task: what to do; its entry "threads" is the number of threads that the library may use, 2 by default.
    """

    def __init__(self, name: str, task: dict[str, Any]) -> None:
        self.name = name
        python = os.environ.get(_PYTHONS.get(name, ""), sys.executable)
        backend = _KERAS_ON.get(name, "jax")
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.harness", name, json.dumps(task)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment(task.get("threads", 2), KERAS_BACKEND=backend), cwd=ROOT,
        )  # fmt: skip
        answer = self._answer()
        self.ready = answer == "ready"
        self.absence = "" if self.ready else answer.removeprefix("missing ") or "it failed"

    def _answer(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                return line[1:].strip()
        return ""

    def round(self) -> float | None:
        """The seconds of one round; None when the worker failed."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.absence = "" if answer else "it failed"
        return float(answer) if answer else None

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def _serve(name: str, task: dict[str, Any]) -> None:
    try:
        run = importlib.import_module(f"benchmarks.peers.{name}").prepare(task)
    except ImportError as error:
        print(f"@missing {error}", flush=True)
        return
    print("@ready", flush=True)
    for _ in sys.stdin:
        run()  # the processor comes out of a pause with a low clock and cold caches: this round warms it
        print(f"@{run()}", flush=True)


# --- taking turns ----------------------------------------------------------------------------------


@dataclass
class Result:
    """Seconds per unit of work for each contestant; and why those that are absent could not take part."""

    task: dict[str, Any]
    unit: str
    times: dict[str, list[float]] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return statistics.median(self.times[name])

    @property
    def fastest_peer(self) -> str:
        return min((name for name in self.times if name not in (OURS, LIMIT)), key=self.median)

    @property
    def speedup(self) -> float:
        """How many times faster Lamina is than the fastest peer: the ratio of medians."""
        return self.median(self.fastest_peer) / self.median(OURS)


def compare(
    task: dict[str, Any],
    contestants: Iterable[str],
    rounds: int,
    unit: str,
    settings: Mapping[str, dict[str, Any]] | None = None,
) -> Result:
    """Let the contestants take turns for some rounds, after one round each that does not count.

    settings: for some contestants, what to add to the task.
    """
    settings = dict(settings or {})
    running = [Contestant(name, task | settings.get(name, {})) for name in contestants]
    result = Result(task, unit, settings=settings)
    present = [worker for worker in running if worker.ready]
    try:
        for number in range(rounds + 1):
            for worker in tuple(present):
                time.sleep(0.25)  # let the spinning threads of the previous one fall asleep
                seconds = worker.round()
                if seconds is None:
                    present.remove(worker)
                elif number:
                    result.times.setdefault(worker.name, []).append(seconds)
        result.absent = {worker.name: worker.absence for worker in running if worker not in present}
    finally:
        for worker in running:
            worker.stop()
    return result


def fastest_setting(
    task: dict[str, Any], peer: str, settings: Sequence[dict[str, Any]], unit: str
) -> tuple[dict[str, Any] | None, str]:
    """The setting with which a peer is fastest at the task; None, and why, when it cannot run."""
    found: list[tuple[float, dict[str, Any]]] = []
    absence = ""
    for setting in settings:
        result = compare(task, [peer], 2, unit, {peer: setting})
        if peer in result.times:
            found.append((min(result.times[peer]), setting))
            print(f"  {peer:16s} {duration(found[-1][0]):>10s}  {setting}", flush=True)
        else:
            absence = result.absent[peer]
            print(f"  {peer:16s} is absent: {absence}  {setting}", flush=True)
    return (min(found, key=lambda entry: entry[0])[1], "") if found else (None, absence)


def compare_at_best(
    task: dict[str, Any],
    peers: Mapping[str, Sequence[dict[str, Any]]],
    rounds: int,
    unit: str,
    ours: Sequence[str] = (OURS,),
) -> Result:
    """`compare` with peers, each of which first tries its settings and takes part with the fastest."""
    chosen = {peer: fastest_setting(task, peer, settings, unit) for peer, settings in peers.items()}
    settings = {peer: setting for peer, (setting, _) in chosen.items() if setting is not None}
    result = compare(task, [*ours, *settings], rounds, unit, settings)
    result.absent |= {peer: absence for peer, (setting, absence) in chosen.items() if setting is None}
    return result


def alternate(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What functions of this process say they took, in turns, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            seconds = run()
            if number:
                times[name].append(seconds)
    return times


# --- results ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One measured number beside its target, which is an upper bound, or with `at_least` a lower one."""

    name: str
    value: float
    target: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target


def show(title: str, result: Result) -> None:
    """A table for people."""
    print(f"\n{title}")
    best = result.median(OURS) if OURS in result.times else None
    for name in sorted(result.times, key=result.median):
        median, low = result.median(name), min(result.times[name])
        line = f"  {name:16s} {duration(median):>10s} per {result.unit} (best {duration(low)})"
        if best is not None and name == LIMIT:
            line += f"   Lamina takes {best / median:5.2f} times as long"
        elif best is not None and name != OURS:
            line += f"   Lamina is {median / best:5.2f} times as fast"
        setting = ", ".join(f"{key} {value}" for key, value in result.settings.get(name, {}).items())
        print(f"{line}   [{setting}]" if setting else line, flush=True)
    for name, absence in result.absent.items():
        print(f"  {name:16s} is absent: {absence}", flush=True)


def judge(figures: Sequence[Figure]) -> None:
    """Print each figure beside its target, and whether it was met."""
    width = max(len(figure.name) for figure in figures)
    print(f"\n  {'':{width}}  {'target':>14}  {'measured':>12}")
    for figure in figures:
        bound = f"{'>=' if figure.at_least else '<='} {_amount(figure.target, figure.unit)}"
        measured = _amount(figure.value, figure.unit)
        verdict = "met" if figure.met else "MISSED"
        print(f"  {figure.name:{width}}  {bound:>14}  {measured:>12}  {verdict}", flush=True)


def conclude(name: str, figures: Sequence[Figure], details: Mapping[str, Any]) -> None:
    """The end of a script: `judge` and `save`."""
    judge(figures)
    save(name, details, figures)


def save(name: str, details: Mapping[str, Any], figures: Sequence[Figure] = ()) -> Path:
    """What was measured as JSON, with the machine it was measured on, in `results/NAME.json`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    machine = {
        "processor": processor(), "cores": os.cpu_count(), "system": platform.system(),
        "python": platform.python_version(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    judged = [{**asdict(figure), "met": figure.met} for figure in figures]
    plain = {key: _plain(value) for key, value in details.items()}
    path.write_text(json.dumps({"machine": machine, "figures": judged, "results": plain}, indent=1) + "\n")
    return path


def _plain(value: Any) -> Any:
    if not isinstance(value, Result):
        return value
    medians = {name: value.median(name) for name in value.times}
    return {**asdict(value), "median": medians, "speedup": value.speedup}


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def duration(seconds: float) -> str:
    """A time with the unit that suits it."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def _amount(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:,.0f} {unit}"


if __name__ == "__main__":
    _serve(sys.argv[1], json.loads(sys.argv[2]))
