"""Assembly, read by tests: inner loops, and what stands in them."""

from __future__ import annotations

import re

LEVELS = ("avx512", "avx2", "aarch64")
MULTIPLY_ADD = {"avx512": r"\bvfmadd", "avx2": r"\bvfmadd", "aarch64": r"\bfmla|\bfmadd"}
WIDEST = {"avx512": "zmm", "avx2": "ymm", "aarch64": ".4s"}
STACK_OR_CALL = r"\bcall|\bblr?\s|%rsp|\bsp\b"


def innermost_loops(assembly: str) -> list[list[str]]:
    """The instructions of every block that jumps back to its own label."""
    loops, label, block = [], None, []
    for line in assembly.splitlines():
        if found := re.match(r"(\.L\w+):", line):
            label, block = found[1], []
        elif re.match(r"\s+[a-z]", line):
            block.append(line.strip())
            if label and re.search(rf"\b(j\w+|b\.\w+|cbn?z\s+\w+,|tbn?z.*,)\s+{re.escape(label)}$", line):
                loops.append(list(block))
    return loops


def multiply_adds(loop: list[str], level: str) -> int:
    return sum(bool(re.match(MULTIPLY_ADD[level], line)) for line in loop)


def sum_loops(assembly: str, level: str) -> list[list[str]]:
    return [loop for loop in innermost_loops(assembly) if multiply_adds(loop, level)]


def assert_stays_in_registers(loop: list[str]) -> None:
    """No instruction of the loop touches the stack or calls anything."""
    for line in loop:
        assert not re.search(STACK_OR_CALL, line), line
