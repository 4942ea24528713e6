"""From LLVM text to callable code: linking, loading, dropping, and what is refused."""

from __future__ import annotations

import ctypes
import gc
import mmap
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lamina.backends.cpu import jit
from lamina.backends.cpu.emit import Module, Part
from lamina.backends.cpu.image import Image, LinkError
from lamina.backends.cpu.target import Target

HOST = Target.host()
ADD = "define double @add(double %x) {\n  %y = fadd double %x, 1.5\n  ret double %y\n}"
TABLE = """
@table = internal constant [2 x ptr] [ptr @one, ptr @two]
@numbers = private unnamed_addr constant <4 x float> <float 1.0, float 2.0, float 3.0, float 4.0>
define internal i64 @one() { ret i64 1 }
define internal i64 @two() { ret i64 2 }
define i64 @pick(i64 %i) {
  %slot = getelementptr ptr, ptr @table, i64 %i
  %function = load ptr, ptr %slot
  %result = call i64 %function()
  ret i64 %result
}
define float @third(i64 %i) {
  %four = load <4 x float>, ptr @numbers
  %x = extractelement <4 x float> %four, i64 %i
  ret float %x
}
"""


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE


def call(code, name: str, result, *arguments):
    kinds = [ctypes.c_double if isinstance(argument, float) else ctypes.c_int64 for argument in arguments]
    return ctypes.CFUNCTYPE(result, *kinds)(code.address(name))(*arguments)


def test_compiled_code_runs() -> None:
    code = jit.load(jit.compile_object(ADD, HOST))
    assert call(code, "add", ctypes.c_double, 2.0) == 3.5


def test_tables_of_functions_and_constants_are_linked() -> None:
    code = jit.load(jit.compile_object(TABLE, HOST))
    assert [call(code, "pick", ctypes.c_int64, i) for i in (0, 1, 0)] == [1, 2, 1]
    assert [call(code, "third", ctypes.c_float, i) for i in range(4)] == [1.0, 2.0, 3.0, 4.0]


def test_an_unknown_symbol() -> None:
    with pytest.raises(KeyError, match="subtract"):
        jit.load(jit.compile_object(ADD, HOST)).address("subtract")


def test_text_that_llvm_rejects() -> None:
    with pytest.raises(RuntimeError, match="parsing error"):
        jit.compile_object("define void @f() { ret i32 }", HOST)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "declare float @expf(float)\n"
            "define float @f(float %x) {\n %y = call float @expf(float %x)\n ret float %y }",
            "expf",
        ),
        (
            "@count = internal global i64 3\ndefine i64 @f() {\n store i64 4, ptr @count\n ret i64 1 }",
            "writable",
        ),
        (
            "@count = internal global i64 0\ndefine i64 @f() {\n store i64 4, ptr @count\n ret i64 1 }",
            "writable",
        ),
        ("define ptr @f() {\n ret ptr @f }", "dso_local"),
    ],
)
def test_code_that_does_not_stand_alone_is_refused(text: str, message: str) -> None:
    with pytest.raises(LinkError, match=message):
        jit.compile_object(text, Target.named("avx2"))


def test_damaged_bytes_are_refused() -> None:
    data = jit.compile_object(ADD, HOST)
    for damaged in (b"", data[:-1], data[:40] + bytes([data[40] ^ 1]) + data[41:], b"X" + data[1:]):
        with pytest.raises(ValueError, match="code image"):
            jit.load(damaged)


def test_images_survive_as_bytes() -> None:
    image = Image(b"\x90" * 20, {"f": 4, "g": 16}, (8,))
    assert Image.from_bytes(image.to_bytes()) == image


def test_equal_text_gives_equal_bytes_from_every_thread() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: jit.compile_object(TABLE, HOST), range(24)))
    assert len(found) == 1


def test_dropped_code_gives_its_memory_back() -> None:
    padding = "\n".join(f"  store volatile i64 {number}, ptr %p" for number in range(4000))
    data = jit.compile_object(f"define void @f(ptr %p) {{\n{padding}\n  ret void\n}}", HOST)
    assert len(data) > 16_000
    for _ in range(10):
        jit.load(data)
    before = resident_bytes()
    for _ in range(1000):
        jit.load(data)
    gc.collect()
    assert resident_bytes() - before < 4 << 20


def test_code_for_windows_uses_its_calling_convention() -> None:
    windows = replace(Target.named("avx2"), triple="x86_64-pc-windows-msvc-elf")
    text = "define i64 @f(i64 %x, i64 %y) {\n  %z = add i64 %x, %y\n  ret i64 %z\n}"
    assert "%rcx" in jit.assembly(text, windows)
    assert Image.from_bytes(jit.compile_object(text, windows)).symbols == {"f": 0}


def test_arm_references_are_linked() -> None:
    """The page and the offset in the instructions lead to the constants and the called function."""
    image = Image.from_bytes(jit.compile_object(TABLE, Target.named("aarch64")))
    words = struct.unpack(f"<{len(image.code) // 4}I", image.code[: len(image.code) // 4 * 4])
    found = []
    for position, word in enumerate(words):
        if word & 0x9F000000 != 0x90000000:  # adrp
            continue
        pages = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
        following = next(
            other for other in words[position + 1 :] if other >> 5 & 31 == word & 31 and other & 0x1F000000
        )
        # add has its offset in bytes, ldr of a q register in units of 16.
        low = (following >> 10 & 0xFFF) * (16 if following >> 24 == 0x3D else 1)
        found.append((position * 4 & ~0xFFF) + (pages << 12) + low)
    constants = image.code.index(struct.pack("<4f", 1, 2, 3, 4))
    assert set(found) == {image.symbols["table"], constants}
    assert set(image.fixups) == {image.symbols["table"], image.symbols["table"] + 8}


def two_functions() -> Module:
    """`twice`, plain, calls `add`; both are long enough for parts of their own."""
    module = Module()
    module.constant_array("numbers", "double", [1.5])
    padding = "\n".join(f"  %z{number} = fadd double %x, {number}.0" for number in range(4000))
    module.functions["add"] = (
        "\ndefine internal double @add(\n  double %x\n) #0 {\nentry:\n"
        f"{padding}\n  %n = load double, ptr @numbers\n  %y = fadd double %x, %n\n  ret double %y\n}}\n"
    )
    again = "  %w = call double @add(double %y)\n  ret double %w\n}\n"
    endings = {"twice #1": again, "once #0": "  ret double %y\n}\n"}
    for name, ending in endings.items():
        called, attributes = name.split()
        module.functions[called] = (
            f"define double @{called}(double %x) {attributes} {{\nentry:\n{padding}\n"
            f"  %y = call double @add(double %x)\n{ending}"
        )
    return module


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_parts_that_call_each_other_are_one_program(threads: int) -> None:
    parts = two_functions().parts(threads)
    assert [part.is_plain for part in parts] == [True] + [False] * min(threads, 2)
    code = jit.load(jit.compile_parts(parts, HOST, threads))
    assert call(code, "twice", ctypes.c_double, 2.0) == 5.0
    assert call(code, "once", ctypes.c_double, 2.0) == 3.5


def test_parts_of_another_processor_are_linked() -> None:
    target = Target.named("aarch64")
    parts = two_functions().parts(2)
    image = Image.from_bytes(jit.compile_parts(parts, target, 2))
    assert {"add", "once", "twice"} <= set(image.symbols)
    start, end = image.symbols["twice"], image.symbols["add"]
    words = struct.unpack_from(f"<{abs(end - start) // 4}I", image.code, min(start, end))
    calls = [
        (min(start, end) + 4 * place, (word & 0x3FFFFFF) * 4)
        for place, word in enumerate(words)
        if word >> 26 == 0b100101
    ]
    assert [place + distance for place, distance in calls][:2] == [end, end]


def test_a_part_without_the_others_is_refused() -> None:
    plain, *_ = two_functions().parts(2)
    with pytest.raises(LinkError, match="add"):
        jit.compile_parts([plain], HOST, 1)


def test_a_failure_in_one_of_the_threads_is_raised() -> None:
    with pytest.raises(RuntimeError, match="parsing error"):
        jit.compile_parts([Part(ADD), Part("define void @f() { ret i32 }")], HOST, 2)


def test_the_lock_of_llvmlite_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = jit.compile_object(TABLE, HOST)
    monkeypatch.setattr(jit, "_unlocked_library", lambda: None)
    assert jit.compile_object(TABLE, HOST) == alone
