"""Runs all benchmarks one after the other, and ends with one table of figures beside their targets.

python -m benchmarks.run [--thorough] [NAME ...]. Few rounds of each, or with --thorough as many as each
script takes by itself. The exit code says nothing of the figures: they depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, ROOT, Figure, environment, judge

SCRIPTS = (
    "imports", "compile_time", "latency", "overhead", "checks_cost", "determinism", "memory",
    "training_memory", "mlp", "convnet", "inference", "recurrent", "transformer", "generation", "matmul",
    "convolution", "math", "optimizers", "data",
)  # fmt: skip
# Scripts that have other options, and print figures without targets.
_QUICK = {
    "matmul": ("--seconds", "0.1", "--no-peers"),
    "convolution": ("--seconds", "0.1", "--no-peers"),
    "math": ("--seconds", "0.05"),
}
_PRODUCTS, _SHARE = "128: ", 80.0
_CONVOLUTION_SHARE = 70.0  # of every convolution with enough channels


def run(name: str, thorough: bool) -> list[Figure]:
    """Run one script, which prints its tables; its figures, none when it failed."""
    path = RESULTS / f"{name}.json"
    arguments = [] if thorough else list(_QUICK.get(name, ("--quick",)))
    if name in _QUICK:
        arguments += ["--json", str(path)]
    print(f"\n=== {name}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments], env=environment(), cwd=ROOT
    )
    if done.returncode:
        print(f"  {name} failed with exit code {done.returncode}")
        return []
    return figures(name, path)


def figures(name: str, path: Path) -> list[Figure]:
    """The figures in a file of results."""
    found = json.loads(path.read_text())
    if name == "matmul":
        return _products(found["rows"])
    if name == "convolution":
        return _convolutions(found["rows"])
    names = Figure.__dataclass_fields__
    return [
        Figure(**{key: value for key, value in entry.items() if key in names})
        for entry in found.get("figures", ())
    ]


def _products(rows: list[dict[str, Any]]) -> list[Figure]:
    """How near the products of 784-512-512-10 come to the register-only loop, weighted by their times."""
    judged = []
    for threads in sorted({row["threads"] for row in rows}):
        chosen = [row for row in rows if row["threads"] == threads and row["product"].startswith(_PRODUCTS)]
        work = sum(row["gflops"] * row["seconds"] for row in chosen)
        at_the_limit = sum(row["share"] * row["seconds"] for row in chosen)
        rate = work / sum(row["seconds"] for row in chosen)
        share = at_the_limit / sum(row["seconds"] for row in chosen)
        name = f"784-512-512-10: products, {threads} thread{'s' * (threads > 1)}, {rate:.0f} GFLOP/s"
        judged.append(Figure(name, 100 * share, _SHARE, "% of probe", at_least=True))
    return judged


def _convolutions(rows: list[dict[str, Any]]) -> list[Figure]:
    """How near the slowest convolution with at least 32 channels and outputs comes to the same loop."""
    judged = []
    for threads in sorted({row["threads"] for row in rows}):
        slowest = min(
            (row for row in rows if row["threads"] == threads and row["wide"]), key=lambda row: row["share"]
        )
        name = f"{slowest['layer']}, {slowest['product']}, {threads} thread{'s' * (threads > 1)}"
        judged.append(Figure(name, 100 * slowest["share"], _CONVOLUTION_SHARE, "% of probe", at_least=True))
    return judged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *SCRIPTS], metavar="NAME")
    parser.add_argument("--thorough", action="store_true")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    judged = [figure for name in options.names or SCRIPTS for figure in run(name, options.thorough)]
    print("\n=== all figures")
    if judged:
        judge(judged)
    print(f"\n  {sum(figure.met for figure in judged)} of {len(judged)} targets met")
    if load > 0.5:
        print(f"  The machine was busy before the start (load {load:.1f}): times are not to be trusted.")


if __name__ == "__main__":
    main()
