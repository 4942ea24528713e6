"""What is known of processors: levels, narrowing, cores within affinity and quotas, a start without LLVM."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.backends.cpu import target as target_module
from lamina.backends.cpu.target import Target
from lamina.core.config import config
from lamina.core.errors import ArgumentError

SERVER = (
    "x86_64-unknown-linux-gnu",
    "icelake-server",
    "+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw",
)


@pytest.fixture
def narrowed(monkeypatch):
    """The target of a server with AVX-512 under a setting of `cpu_features`."""
    monkeypatch.setattr(target_module, "_host_identity", lambda: SERVER)
    target_module._host.cache_clear()

    def host(features: str | None) -> Target:
        monkeypatch.setattr(config, "cpu_features", features)
        return Target.host()

    yield host
    target_module._host.cache_clear()


@pytest.mark.parametrize(
    ("features", "vector_bytes", "registers", "fma"),
    [
        (None, 64, 32, True),
        ("", 64, 32, True),
        ("avx512", 64, 32, True),
        ("avx2", 32, 16, True),
        ("sse2", 16, 16, False),
        ("generic", 16, 16, False),
        ("-avx512f", 32, 16, True),
        ("-avx512vl", 32, 16, True),
        ("-avx512f, -fma", 32, 16, False),
        ("-avx2", 16, 16, True),
        ("-avx", 16, 16, False),
    ],
)
def test_narrowing(narrowed, features, vector_bytes, registers, fma) -> None:
    target = narrowed(features)
    assert (target.vector_bytes, target.registers, target.fma) == (vector_bytes, registers, fma)


@pytest.mark.parametrize("features", ["avx1024", "+avx512f", "-", "-avx,neon"])
def test_a_setting_that_cannot_be_read(narrowed, features) -> None:
    with pytest.raises(ArgumentError, match="LAMINA_CPU_FEATURES"):
        narrowed(features)


def test_a_level_that_the_processor_lacks(narrowed, monkeypatch) -> None:
    monkeypatch.setattr(target_module, "_host_identity", lambda: (SERVER[0], "haswell", "+avx,+avx2,+fma"))
    assert narrowed("avx2").vector_bytes == 32
    with pytest.raises(ArgumentError, match="avx512f"):
        narrowed("avx512")
    with pytest.raises(ArgumentError, match="aarch64"):
        narrowed("aarch64")


def test_levels_have_lanes_for_every_dtype() -> None:
    assert [Target.named("avx512").lanes(dtype) for dtype in ("float32", "float64", "uint8")] == [16, 8, 64]
    assert [Target.named("aarch64").lanes(dtype) for dtype in ("float32", "float64", "bool")] == [4, 2, 16]
    with pytest.raises(ArgumentError, match="did you mean 'avx2'"):
        Target.named("avx3")


def test_cores_are_counted_within_the_affinity() -> None:
    assert 1 <= target_module.usable_cores() <= (os.cpu_count() or 1)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_quota_of_cgroup_version_2(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/pod/container\n")
    root = tmp_path / "fs"
    write(root / "pod" / "cpu.max", "150000 100000\n")
    write(root / "pod" / "container" / "cpu.max", "max 100000\n")
    assert target_module._cgroup_quota(root, membership) == 1.5
    write(root / "pod" / "container" / "cpu.max", "50000 100000\n")
    assert target_module._cgroup_quota(root, membership) == 0.5


def test_quota_of_cgroup_version_1(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/box\n2:cpu,cpuacct:/box\n0::/\n")
    root = tmp_path / "fs"
    write(root / "cpu" / "cpu.cfs_quota_us", "-1")
    write(root / "cpu" / "cpu.cfs_period_us", "100000")
    assert target_module._cgroup_quota(root, membership) is None
    write(root / "cpu" / "box" / "cpu.cfs_quota_us", "300000")
    write(root / "cpu" / "box" / "cpu.cfs_period_us", "100000")
    assert target_module._cgroup_quota(root, membership) == 3.0


def test_no_cgroups_no_quota(tmp_path: Path) -> None:
    assert target_module._cgroup_quota(tmp_path / "none", tmp_path / "nothing") is None


PROGRAM = """
import sys
from lamina.backends.cpu.target import Target
print(Target.host().key, "llvmlite.binding" in sys.modules)
"""


def test_the_second_start_does_not_load_llvm(tmp_path: Path) -> None:
    environment = {**os.environ, "LAMINA_CACHE_DIR": str(tmp_path / "cache")}
    runs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    first, second = (run.stdout.rsplit(" ", 1) for run in runs)
    assert first[0] == second[0]
    assert second[1].strip() == "False"
