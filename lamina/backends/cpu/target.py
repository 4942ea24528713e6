"""The processor that code is made for: its vectors, registers and caches, and the cores this process may use.

`Target.host()` is the machine at hand, narrowed by `lamina.core.config.config.cpu_features`;
`Target.named("avx2")` is one of a few fixed levels, for tests and for looking at other machines' code.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from lamina.backends.cpu import cache
from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import ArgumentError, unknown_name

# Levels: architecture, LLVM cpu name, LLVM features.
LEVELS: dict[str, tuple[str, str, str]] = {
    "generic": ("x86_64", "x86-64", ""),
    "sse2": ("x86_64", "x86-64", ""),
    "avx2": ("x86_64", "x86-64-v3", "+avx,+avx2,+fma"),
    "avx512": ("x86_64", "x86-64-v4", "+avx,+avx2,+fma,+avx512f,+avx512bw,+avx512dq,+avx512vl"),
    "aarch64": ("aarch64", "generic", "+neon"),
}
_KIB = 1024


@dataclass(frozen=True)
class Caches:
    """Bytes of data cache that one core can count on."""

    l1: int = 32 * _KIB
    l2: int = 512 * _KIB
    l3: int = 4096 * _KIB


@dataclass(frozen=True)
class Target:
    """What the emitters need to know of a processor.

    triple, cpu, features: as LLVM names them. vector_bytes: the widest vector worth using (64, 32 or 16).
    registers: vector registers. fma: whether a fused multiply-add is one instruction. cores: physical cores
    this process may use; it never decides what is computed, only by how many threads.
    """

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    registers: int
    fma: bool
    caches: Caches = Caches()
    cores: int = 1

    def lanes(self, dtype: str) -> int:
        """Elements of `dtype` in one vector."""
        return max(1, self.vector_bytes // dtypes.itemsize(dtype))

    @property
    def architecture(self) -> str:
        """The first word of the triple: x86_64, aarch64, arm64, ..."""
        return self.triple.split("-")[0]

    @property
    def is_x86(self) -> bool:
        return self.architecture in ("x86_64", "amd64", "i686", "i386")

    @property
    def is_arm64(self) -> bool:
        return self.architecture in ("aarch64", "arm64")

    @property
    def has_masks(self) -> bool:
        """Whether a masked load or store is one instruction for every width and element size."""
        return self.vector_bytes == 64

    @property
    def function_attributes(self) -> str:
        """LLVM attributes that every emitted function carries."""
        return f'nounwind "no-trapping-math"="true" "prefer-vector-width"="{8 * self.vector_bytes}"'

    @property
    def key(self) -> str:
        """What machine code depends on, for cache keys."""
        return f"{self.triple}|{self.cpu}|{self.features}"

    def __str__(self) -> str:
        fma = ", fma" if self.fma else ""
        return f"{self.cpu} ({8 * self.vector_bytes}-bit vectors, {self.registers} registers{fma})"

    @staticmethod
    def host() -> Target:
        """This machine, as far as `config.cpu_features` allows it to be used.

        That setting is a level ("avx512", "avx2", "sse2", "generic"), or LLVM features to switch off
        ("-avx512f,-fma").
        """
        return _host(config.cpu_features)

    @staticmethod
    def named(level: str) -> Target:
        """A fixed level, whatever this machine is: "generic", "sse2", "avx2", "avx512", "aarch64".

        Its code may not run here; caches and cores are safe guesses.
        """
        if level not in LEVELS:
            raise unknown_name("CPU level", level, LEVELS)
        architecture, cpu, features = LEVELS[level]
        return _describe(_triple_for(architecture), cpu, features, Caches(), 1)


@lru_cache(maxsize=16)
def _host(narrowing: str | None) -> Target:
    triple, cpu, features = _host_identity()
    host = _describe(triple, cpu, features, _host_caches(), usable_cores())
    narrowing = (narrowing or "").replace(" ", "")
    if narrowing in ("", "host", "native"):
        return host
    if narrowing not in LEVELS:
        return _describe(triple, cpu, _switched_off(features, narrowing), host.caches, host.cores)
    if narrowing == "generic" and not host.is_x86:
        return _describe(triple, "generic", "+neon" if host.is_arm64 else "", host.caches, host.cores)
    level = Target.named(narrowing)
    missing = _enabled(level.features) - _enabled(features)
    if level.architecture != host.architecture or missing:
        raise ArgumentError(
            f"This processor cannot run code for the CPU level {narrowing!r}.",
            expected="a level at or below the host's: LAMINA_CPU_FEATURES=generic always works",
            got=f"{host.cpu} without {', '.join(sorted(missing)) or level.architecture}",
        )
    return replace(level, triple=triple, caches=host.caches, cores=host.cores)


def _describe(triple: str, cpu: str, features: str, caches: Caches, cores: int) -> Target:
    """Derive vectors, registers and fma from the names."""
    enabled = _enabled(features)
    architecture = triple.split("-")[0]
    if architecture in ("x86_64", "amd64"):
        wide = {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= enabled
        vector_bytes = 64 if wide else 32 if "avx2" in enabled else 16
        return Target(
            triple, cpu, features, vector_bytes, 32 if wide else 16, "fma" in enabled, caches, cores
        )
    if architecture in ("aarch64", "arm64"):
        return Target(triple, cpu, features, 16, 32, True, caches, cores)
    return Target(triple, cpu, features, 16, 16, False, caches, cores)


def _enabled(features: str) -> set[str]:
    """The features that are on after reading the string from left to right."""
    on: set[str] = set()
    for feature in filter(None, features.split(",")):
        if feature.startswith("+"):
            on.add(feature[1:])
        else:
            off = feature[1:]
            on -= {name for name in on if off in (name, *_IMPLIED.get(name, ()))}
    return on


# What switches off what on x86: without the feature on the right, the one on the left is gone too.
_IMPLIED = {
    "fma": ("avx",),
    "avx2": ("avx",),
    "avx512f": ("avx2", "avx", "fma"),
    "avx512bw": ("avx512f", "avx2", "avx"),
    "avx512dq": ("avx512f", "avx2", "avx"),
    "avx512vl": ("avx512f", "avx2", "avx"),
}


def _switched_off(features: str, narrowing: str) -> str:
    """The host's features with some switched off; LLVM reads them from left to right."""
    for feature in narrowing.split(","):
        if not feature.startswith("-") or len(feature) < 2:
            raise ArgumentError(
                f"Cannot read the CPU features {narrowing!r}.",
                expected=f"one of {', '.join(LEVELS)}, or features to switch off such as '-avx512f,-fma'",
                fix="set LAMINA_CPU_FEATURES to one of these, or unset it.",
            )
    return f"{features},{narrowing}"


def _host_identity() -> tuple[str, str, str]:
    """(triple, cpu, features) of this process's machine.

    LLVM knows them, but loading LLVM takes as long as a whole training step of a cached program, so the
    answer is kept on disk under a fingerprint of the processor.
    """
    import llvmlite

    fingerprint = _processor_fingerprint()
    name = cache.key("host", fingerprint, llvmlite.__version__, platform.machine())
    known = cache.read(name) if fingerprint else None
    if known is not None:
        triple, cpu, features = known[0]["identity"]
        return triple, cpu, features
    identity = _identity_from_llvm()
    if fingerprint:
        cache.write(name, {"identity": identity}, b"")
    return identity


def _identity_from_llvm() -> tuple[str, str, str]:
    from llvmlite import binding

    architecture = binding.get_process_triple().split("-")[0].replace("arm64", "aarch64")
    features = binding.get_host_cpu_features().flatten()
    if sys.platform == "darwin" and architecture == "aarch64":
        features += ",+reserve-x18"  # the system's own register there
    return _triple_for(architecture), binding.get_host_cpu_name(), features


# What /proc/cpuinfo says of a processor's kind, on x86 and on Arm.
_KIND = ("vendor_id", "cpu family", "model", "stepping", "flags", "CPU ", "Features")


def _processor_fingerprint() -> str:
    """Text that differs between processors with different features; "" where there is no cheap one."""
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
                first = file.read(16 * _KIB).split("\n\n")[0]
        except OSError:
            return ""
        return "\n".join(line for line in first.splitlines() if line.startswith(_KIND))
    if sys.platform == "darwin":
        return f"{platform.machine()} {_sysctl('hw.cpufamily')} {_sysctl('hw.cpusubfamily')}"
    return ""


def _triple_for(architecture: str) -> str:
    """A triple that gives ELF objects everywhere (see `image`) with this system's calling convention."""
    return (
        f"{architecture}-pc-windows-msvc-elf"
        if sys.platform == "win32"
        else f"{architecture}-unknown-linux-gnu"
    )


# --- caches ----------------------------------------------------------------------------------------


def _host_caches() -> Caches:
    if sys.platform == "darwin":
        level1 = _sysctl("hw.perflevel0.l1dcachesize") or _sysctl("hw.l1dcachesize")
        level2 = _sysctl("hw.perflevel0.l2cachesize") or _sysctl("hw.l2cachesize")
        return Caches(level1 or 32 * _KIB, level2 or 512 * _KIB, 4096 * _KIB)
    found: dict[int, int] = {}
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index[0-9]*"):
        kind, level, size = (_read(index / name) for name in ("type", "level", "size"))
        if kind in ("Data", "Unified") and level.isdigit() and size[:-1].isdigit():
            found[int(level)] = int(size[:-1]) * {"K": _KIB, "M": _KIB**2}.get(size[-1], 1)
    default = Caches()
    return Caches(found.get(1, default.l1), found.get(2, default.l2), found.get(3, default.l3))


def _read(path: Path) -> str:
    """The file's text, "" when there is none: virtual machines and sandboxes leave out much of /sys."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _sysctl(name: str) -> int:
    """A number from macOS's sysctl, 0 when it has none."""
    import ctypes

    library = ctypes.CDLL(None)
    value, size = ctypes.c_uint64(0), ctypes.c_size_t(8)
    failed = library.sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
    return 0 if failed else int(value.value)


# --- cores -----------------------------------------------------------------------------------------


def usable_cores() -> int:
    """Physical cores this process may keep busy: its affinity without hyper-threads, within the quota."""
    if sys.platform == "darwin":
        return max(1, _sysctl("hw.perflevel0.physicalcpu") or _sysctl("hw.physicalcpu"))
    if not hasattr(os, "sched_getaffinity"):
        # Nearly every such machine has two threads per core.
        return max(1, (os.cpu_count() or 1) // 2)
    siblings = set()
    for cpu in os.sched_getaffinity(0):
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        siblings.add(_read(topology / "thread_siblings_list") or str(cpu))
    quota = _cgroup_quota()
    return max(1, len(siblings) if quota is None else min(len(siblings), int(quota)))


def _cgroup_quota(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> float | None:
    """CPUs' worth of time that this process's cgroup allows, None without a limit. Reads versions 1 and 2."""
    limits = []
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, read = root, _quota_version_2
        elif "cpu" in controllers.split(","):
            base, read = root / controllers, _quota_version_1
            base = base if base.is_dir() else root / "cpu"
        else:
            continue
        inside = base / path.lstrip("/")
        for folder in (inside, *inside.parents):
            limits.append(read(folder))
            if folder == base:
                break
    known = [limit for limit in limits if limit is not None]
    return min(known, default=None)


def _quota_version_2(folder: Path) -> float | None:
    fields = _read(folder / "cpu.max").split()
    return int(fields[0]) / int(fields[1]) if len(fields) == 2 and fields[0].isdigit() else None


def _quota_version_1(folder: Path) -> float | None:
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None
