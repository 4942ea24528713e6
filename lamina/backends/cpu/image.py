"""Machine code as a flat, position-independent image: link objects once, then load it with one copy.

LLVM always writes ELF here, on every system, so one small linker serves all of them; `link` lays the sections
out behind each other and resolves the references between them. `Code` puts an image into memory. Both do
without LLVM, so a program that comes from the cache starts without loading LLVM at all.

Source: the ELF-64 specification with its x86-64 and AArch64 processor supplements.
"""

from __future__ import annotations

import json
import mmap
import struct
import sys
import weakref
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

_MAGIC = b"LAMINA1\n"
_HEADER = struct.Struct(
    "<8sIIII"
)  # magic, bytes of symbols, bytes of code, fixups, checksum of all that follows
_PAGE = 4096

_X86_64, _AARCH64 = 62, 183
_PROGBITS, _SYMTAB, _RELA, _NOBITS = 1, 2, 4, 8
_ALLOCATED, _WRITABLE = 2, 1


class LinkError(RuntimeError):
    """An object that cannot stand alone: it names something outside itself, or wants writable data."""


@dataclass(frozen=True)
class Image:
    """Code and constants in one block that may lie at any page boundary.

    symbols: name -> offset. fixups: offsets of 8-byte words to which the address of the block is added.
    """

    code: bytes
    symbols: dict[str, int]
    fixups: tuple[int, ...] = ()

    def to_bytes(self) -> bytes:
        symbols = json.dumps(self.symbols, sort_keys=True).encode()
        body = symbols + self.code + struct.pack(f"<{len(self.fixups)}Q", *self.fixups)
        return _HEADER.pack(_MAGIC, len(symbols), len(self.code), len(self.fixups), zlib.crc32(body)) + body

    @staticmethod
    def from_bytes(data: bytes) -> Image:
        """The image that `to_bytes` wrote; ValueError when the bytes were cut or changed."""
        if len(data) < _HEADER.size:
            raise ValueError("Not a code image: too short.")
        magic, symbols, code, fixups, checksum = _HEADER.unpack_from(data)
        body = data[_HEADER.size :]
        if magic != _MAGIC or len(body) != symbols + code + 8 * fixups or zlib.crc32(body) != checksum:
            raise ValueError("Not a code image, or a damaged one.")
        words = struct.unpack_from(f"<{fixups}Q", body, symbols + code)
        return Image(body[symbols : symbols + code], json.loads(body[:symbols]), words)


# --- link ------------------------------------------------------------------------------------------


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")


class _Object:
    """One relocatable ELF object: its sections, where they lie in the image, its symbols."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise LinkError("Expected a 64-bit little-endian ELF object.")
        self.data = data
        (self.machine,) = struct.unpack_from("<H", data, 18)
        (table,) = struct.unpack_from("<Q", data, 40)
        (count,) = struct.unpack_from("<H", data, 60)
        self.sections = [_Section(*_SECTION.unpack_from(data, table + 64 * index)) for index in range(count)]
        self.places: dict[int, int] = {}
        self.names: list[str] = []
        self.offsets: list[int | None] = []

    def place(self, code: bytearray) -> None:
        """Append what the program needs in memory, and find out where the symbols are now."""
        data, sections = self.data, self.sections
        for index, section in enumerate(sections):
            if not section.flags & _ALLOCATED or section.kind not in (_PROGBITS, _NOBITS) or not section.size:
                continue
            if _text(data, sections[_names_index(data)], section.name).startswith(".eh_frame"):
                continue
            code.extend(bytes(-len(code) % max(section.alignment, 1)))
            self.places[index] = len(code)
            code.extend(data[section.offset : section.offset + section.size])
            if section.kind == _NOBITS or (
                section.flags & _WRITABLE and not _is_constant(data, sections, index)
            ):
                raise LinkError("The object has writable data; keep such state in memory that is passed in.")
        self.names, self.offsets = _symbols(data, sections, self.places)

    def resolve(self, code: bytearray, defined: dict[str, int], fixups: list[int]) -> None:
        """Write the references of the code, once all objects have been placed."""
        for section in self.sections:
            if section.kind != _RELA or section.info not in self.places:
                continue
            for entry in range(section.offset, section.offset + section.size, 24):
                offset, info, addend = _RELOCATION.unpack_from(self.data, entry)
                place, symbol = self.places[section.info] + offset, info >> 32
                name, target = self.names[symbol], self.offsets[symbol]
                if target is None:
                    target = defined.get(name)
                if target is None:
                    raise LinkError(f"The object refers to '{name}', which it does not define.")
                _relocate(self.machine, info & 0xFFFFFFFF, code, place, target + addend, fixups, name)


def link(*object_files: bytes) -> Image:
    """The image of relocatable ELF objects. Raises LinkError when together they do not stand alone."""
    objects = [_Object(data) for data in object_files]
    code = bytearray()
    for each in objects:
        each.place(code)
    defined = {
        name: offset
        for each in objects
        for name, offset in zip(each.names, each.offsets)
        if name and offset is not None
    }
    fixups: list[int] = []
    for each in objects:
        each.resolve(code, defined, fixups)
    return Image(bytes(code), defined, tuple(fixups))


def _names_index(data: bytes) -> int:
    index: int = struct.unpack_from("<H", data, 62)[0]
    return index


def _text(data: bytes, strings: _Section, offset: int) -> str:
    start = strings.offset + offset
    return data[start : data.index(b"\0", start)].decode()


def _is_constant(data: bytes, sections: list[_Section], index: int) -> bool:
    """Tables of addresses are writable only so that a linker can fill them in."""
    return _text(data, sections[_names_index(data)], sections[index].name).startswith(".data.rel.ro")


def _symbols(
    data: bytes, sections: list[_Section], places: dict[int, int]
) -> tuple[list[str], list[int | None]]:
    """Name and offset in the image of each symbol, by its number; None for the undefined."""
    table = next(section for section in sections if section.kind == _SYMTAB)
    names: list[str] = []
    offsets: list[int | None] = []
    for entry in range(table.offset, table.offset + table.size, 24):
        name, _, _, section, value, _ = _SYMBOL.unpack_from(data, entry)
        names.append(_text(data, sections[table.link], name))
        offsets.append(places[section] + value if section in places else None)
    return names, offsets


def _relocate(
    machine: int, kind: int, code: bytearray, place: int, target: int, fixups: list[int], name: str
) -> None:
    """Write the reference at `place` to `target` (symbol plus addend), both offsets in the image."""
    absolute = {_X86_64: 1, _AARCH64: 257}.get(machine)
    if kind == absolute:
        struct.pack_into("<Q", code, place, target)
        fixups.append(place)
    elif machine == _X86_64 and kind in (2, 4):  # PC32, PLT32
        struct.pack_into("<i", code, place, target - place)
    elif machine == _X86_64 and kind == 24:  # PC64
        struct.pack_into("<q", code, place, target - place)
    elif machine == _AARCH64 and kind in _ARM_FIELDS:
        (word,) = struct.unpack_from("<I", code, place)
        struct.pack_into("<I", code, place, word | _ARM_FIELDS[kind](target, place))
    elif machine == _AARCH64 and kind == 261:  # PREL32
        struct.pack_into("<i", code, place, target - place)
    else:
        raise LinkError(
            f"The object refers to '{name}' in a way (relocation {kind}) that only a system linker resolves; "
            "define it as internal, private or dso_local."
        )


def _arm_page(target: int, place: int) -> int:
    pages = (target // _PAGE - place // _PAGE) & 0x1FFFFF
    return (pages & 3) << 29 | (pages >> 2) << 5


def _arm_low(shift: int) -> Any:
    return lambda target, place: (target % _PAGE >> shift) << 10


_ARM_FIELDS = {
    275: _arm_page,  # ADR_PREL_PG_HI21
    277: _arm_low(0),  # ADD_ABS_LO12_NC
    278: _arm_low(0),  # LDST8
    284: _arm_low(1),  # LDST16
    285: _arm_low(2),  # LDST32
    286: _arm_low(3),  # LDST64
    299: _arm_low(4),  # LDST128
    282: lambda target, place: (target - place) // 4 & 0x3FFFFFF,  # JUMP26
    283: lambda target, place: (target - place) // 4 & 0x3FFFFFF,  # CALL26
}


# --- load ------------------------------------------------------------------------------------------


class Code:
    """An image in executable memory. Its addresses are valid while it lives; dropping it frees the memory."""

    def __init__(self, image: Image) -> None:
        self._symbols = image.symbols
        block = bytearray(image.code)
        allocate = _allocate_windows if sys.platform == "win32" else _allocate_posix
        self.base, release, seal = allocate(max(len(block), 1))
        self._release = weakref.finalize(self, release)
        for offset in image.fixups:
            (word,) = struct.unpack_from("<Q", block, offset)
            struct.pack_into("<Q", block, offset, word + self.base)
        seal(bytes(block))

    def outlives_exit(self) -> None:
        """Leave the code in memory when the interpreter ends: threads may still be in it."""
        self._release.atexit = False

    def address(self, name: str) -> int:
        """The address of a function or constant; KeyError when there is none of that name."""
        if name not in self._symbols:
            raise KeyError(f"The code defines no symbol {name!r}.")
        return self.base + self._symbols[name]


def _allocate_posix(size: int) -> tuple[int, Any, Any]:
    """(address, release, seal): `seal` writes the bytes and makes the memory executable and read-only."""
    import ctypes

    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    view = ctypes.c_char.from_buffer(memory)
    base = ctypes.addressof(view)
    del view

    def seal(block: bytes) -> None:
        memory[: len(block)] = block
        library = ctypes.CDLL(None, use_errno=True)
        if library.mprotect(ctypes.c_void_p(base), ctypes.c_size_t(size), mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "This system does not let a process make memory executable.")
        if sys.platform == "darwin":
            library.sys_icache_invalidate(ctypes.c_void_p(base), ctypes.c_size_t(size))
        # Linux cleans the instruction cache itself when fresh pages become executable.

    return base, memory.close, seal


def _allocate_windows(size: int) -> tuple[int, Any, Any]:
    """As `_allocate_posix`, with Windows' calls."""
    import ctypes

    kernel: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    kernel.VirtualAlloc.restype = ctypes.c_void_p
    base = kernel.VirtualAlloc(None, ctypes.c_size_t(size), 0x3000, 0x04)  # commit and reserve, read-write
    if not base:
        raise MemoryError(f"No memory for {size} bytes of machine code.")

    def seal(block: bytes) -> None:
        ctypes.memmove(base, block, len(block))
        before = ctypes.c_ulong()
        kernel.VirtualProtect(ctypes.c_void_p(base), ctypes.c_size_t(size), 0x20, ctypes.byref(before))
        kernel.FlushInstructionCache(kernel.GetCurrentProcess(), ctypes.c_void_p(base), ctypes.c_size_t(size))

    def release() -> None:
        kernel.VirtualFree(ctypes.c_void_p(base), ctypes.c_size_t(0), 0x8000)

    return base, release, seal
