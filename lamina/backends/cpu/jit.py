"""From LLVM text to machine code: compile to bytes that a cache can keep, load them, drop them.

    data = compile_object(text, target)      # LLVM runs: about 5 ms and up
    library = load(data)                     # LLVM is not needed: well below 1 ms
    entry = library.address("step")          # valid as long as `library` lives

Hand-emitted kernels gain nothing from LLVM's pass pipelines, so only instruction selection, scheduling and
register allocation run. The code is position independent and may refer to nothing outside itself: a call that
LLVM smuggles in (memset, expf, fmaf) is a LinkError. Functions whose address is taken must be `internal` or
`dso_local`. Importing this module, and loading, do not import llvmlite.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from lamina.backends.cpu.image import Code, Image, link
from lamina.backends.cpu.target import Target

if TYPE_CHECKING:
    from llvmlite import binding

_lock = threading.Lock()
_machines: dict[str, Any] = {}


def compile_object(text: str, target: Target) -> bytes:
    """Linked machine code of an LLVM module. RuntimeError when LLVM rejects the text, LinkError as above."""
    with _lock:
        machine = _machine(target)
        data = machine.emit_object(_parse(text, target))
    return link(data).to_bytes()


def assembly(text: str, target: Target) -> str:
    """The assembly of an LLVM module for `target`, which need not be this machine."""
    with _lock:
        machine = _machine(target)
        listing: str = machine.emit_assembly(_parse(text, target))
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


def _parse(text: str, target: Target) -> binding.ModuleRef:
    """The module in a context of its own, so that types and constants are freed with it."""
    from llvmlite import binding

    module = binding.parse_assembly(text, binding.create_context())
    module.triple = target.triple
    return module


def _machine(target: Target) -> Any:
    """The cached TargetMachine; the lock is held. Only what this target needs of LLVM is initialised."""
    if target.key in _machines:
        return _machines[target.key]
    from llvmlite import binding

    if target.architecture == binding.get_process_triple().split("-")[0]:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
    else:
        binding.initialize_all_targets()
        binding.initialize_all_asmprinters()
    _machines[target.key] = binding.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small"
    )
    return _machines[target.key]
