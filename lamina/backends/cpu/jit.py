"""From LLVM text to machine code: compile to bytes that a cache can keep, load them, drop them.

    data = compile_object(text, target)      # LLVM runs: about 5 ms and up
    library = load(data)                     # LLVM is not needed: well below 1 ms
    entry = library.address("step")          # valid as long as `library` lives

Hand-emitted kernels gain nothing from LLVM's pass pipelines, so only instruction selection, scheduling and
register allocation run; in plain parts, which only call others, LLVM does as little as it can. The code is
position independent and may refer to nothing outside itself: a call that LLVM smuggles in (memset, expf,
fmaf) is a LinkError. Functions whose address is taken must be `internal` or `dso_local`. Importing this
module, and loading, do not import llvmlite.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from lamina.backends.cpu.image import Code, Image, link
from lamina.backends.cpu.target import Target

if TYPE_CHECKING:
    from llvmlite import binding

    from lamina.backends.cpu.emit import Part

_lock = threading.Lock()
_machines: dict[tuple[str, bool], list[Any]] = {}  # those that no thread is using


def compile_object(text: str, target: Target) -> bytes:
    """Linked machine code of an LLVM module. RuntimeError when LLVM rejects the text, LinkError as above."""
    from lamina.backends.cpu.emit import Part

    return link(_compiled(Part(text), target)).to_bytes()


def compile_parts(parts: Sequence[Part], target: Target, threads: int) -> bytes:
    """Linked machine code of modules that call each other, compiled by that many threads side by side."""
    objects: dict[int, bytes] = {}
    failures: list[BaseException] = []
    waiting = deque(sorted(range(len(parts)), key=lambda position: -len(parts[position].text)))

    def work() -> None:
        while waiting:
            try:
                position = waiting.popleft()
            except IndexError:
                return
            try:
                objects[position] = _compiled(parts[position], target)
            except BaseException as failure:
                failures.append(failure)
                return

    helpers = [threading.Thread(target=work) for _ in range(min(threads, len(parts)) - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
    return link(*(objects[position] for position in range(len(parts)))).to_bytes()


def load_llvm() -> threading.Thread:
    """Begin to load LLVM, which takes some 40 ms, in a thread of its own."""

    def work() -> None:
        try:
            from llvmlite import binding  # noqa: F401
        except Exception:  # whoever needs it next tells the user
            return

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def assembly(text: str, target: Target) -> str:
    """The assembly of an LLVM module for `target`, which need not be this machine."""
    machine = _take_machine(target, False)
    listing: str = machine.emit_assembly(_parse(text, target))
    _machines[target.key, False].append(machine)
    return listing


def load(data: bytes) -> Code:
    """Code made by `compile_object`, in memory; ValueError when the bytes are damaged."""
    return Code(Image.from_bytes(data))


def _reset_after_fork() -> None:
    """A forked child must not inherit a lock that another thread held."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def _compiled(part: Part, target: Target) -> bytes:
    """The object of a part."""
    machine = _take_machine(target, part.is_plain)
    data = _emit(machine, _parse(part.text, target))
    _machines[target.key, part.is_plain].append(machine)
    return data


def _emit(machine: Any, module: binding.ModuleRef) -> bytes:
    """`machine.emit_object(module)`, but several threads may be at it: llvmlite lets in one at a time, and
    these, which share neither context nor machine, need not wait for each other.
    """
    library = _unlocked_library()
    if library is None:
        data: bytes = machine.emit_object(module)
        return data
    message = ctypes.c_char_p()
    buffer = library.LLVMPY_TargetMachineEmitToMemory(machine, module, 1, ctypes.byref(message))
    if not buffer:
        raise RuntimeError((message.value or b"LLVM made no object of the module.").decode())
    try:
        return ctypes.string_at(library.LLVMPY_GetBufferStart(buffer), library.LLVMPY_GetBufferSize(buffer))
    finally:
        library.LLVMPY_DisposeMemoryBuffer(buffer)


@cache
def _unlocked_library() -> Any:
    """LLVM as llvmlite brings it, without the lock around every call; None where it is not as expected."""
    from llvmlite.binding import ffi

    try:
        library = ctypes.CDLL(ffi.lib._name)
        emit, start = library.LLVMPY_TargetMachineEmitToMemory, library.LLVMPY_GetBufferStart
        length, dispose = library.LLVMPY_GetBufferSize, library.LLVMPY_DisposeMemoryBuffer
    except (AttributeError, OSError):
        return None
    pointer = ctypes.c_void_p
    emit.argtypes = [pointer, pointer, ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    emit.restype = start.restype = pointer
    start.argtypes = length.argtypes = dispose.argtypes = [pointer]
    length.restype, dispose.restype = ctypes.c_size_t, None
    return library


def _parse(text: str, target: Target) -> binding.ModuleRef:
    """The module in a context of its own, so that types and constants are freed with it."""
    from llvmlite import binding

    module = binding.parse_assembly(text, binding.create_context())
    module.triple = target.triple
    return module


def _take_machine(target: Target, is_plain: bool) -> Any:
    """A TargetMachine for this thread alone. Only what this target needs of LLVM is initialised."""
    from llvmlite import binding

    with _lock:
        unused = _machines.setdefault((target.key, is_plain), [])
        if unused:
            return unused.pop()
        if target.architecture == binding.get_process_triple().split("-")[0]:
            binding.initialize_native_target()
            binding.initialize_native_asmprinter()
        else:
            binding.initialize_all_targets()
            binding.initialize_all_asmprinters()
        return binding.Target.from_triple(target.triple).create_target_machine(
            cpu=target.cpu,
            features=target.features,
            opt=0 if is_plain else 2,
            reloc="pic",
            codemodel="small",
        )
