"""Cores and memory as a container grants them, not as the machine has them."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from spnl_tui.models.machine import read_machine


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made root directory, on a machine of eight processors and 16 GB."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    memory = psutil.virtual_memory()._replace(total=16 * 10**9, available=12 * 10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    return tmp_path


def cgroup(root: Path, lines: str, **files: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_this_machine() -> None:
    machine = read_machine()
    assert 1 <= machine.fast_cores <= machine.cores <= (os.cpu_count() or 1)
    assert 0 < machine.memory_available <= machine.memory_total


@pytest.mark.parametrize(
    ("flags", "vnni"),
    [("fpu avx2 avx512f avx512_vnni", True), ("fpu avx2 avx_vnni", True), ("fpu avx2 fma", False)],
)
def test_processor_flags_give_vnni_and_avx2(root: Path, flags: str, vnni: bool) -> None:
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(f"processor\t: 0\nmodel name\t: One\nflags\t\t: {flags}\n")
    assert read_machine(root=root).vnni is vnni


@pytest.mark.parametrize(
    ("line", "variable", "each"),
    [
        ("flags\t\t: fpu sse2 avx2 fma f16c", None, 2),
        ("flags\t\t: fpu avx512f", None, 2),
        ("flags\t\t: fpu sse2 avx2 fma f16c", "0", 2),
        ("flags\t\t: fpu sse2 avx2 fma f16c", "1", 4),
        ("flags\t\t: fpu sse2 f16c", None, 4),
        ("Features\t: fp asimd asimdhp asimdfhm", None, 2),
        ("Features\t: fp asimd", None, 4),
    ],
)
def test_processor_flags_give_the_bytes_of_cached_values(
    root: Path, monkeypatch: pytest.MonkeyPatch, line: str, variable: str | None, each: int
) -> None:
    monkeypatch.delenv("MISTRALRS_CPU_KV_F32", raising=False)
    if variable is not None:
        monkeypatch.setenv("MISTRALRS_CPU_KV_F32", variable)
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    assert read_machine(root=root).kv_element_bytes == each


def test_processor_without_flags_counts_as_fast(root: Path) -> None:
    assert read_machine(root=root).vnni


def test_missing_control_groups_set_no_limit(root: Path) -> None:
    machine = read_machine(root=root)
    assert (machine.cores, machine.memory_total, machine.memory_available) == (8, 16 * 10**9, 12 * 10**9)


def test_version_2_uses_the_tightest_group(root: Path) -> None:
    cgroup(
        root,
        "0::/user.slice/app\n",
        user_dot_slice__app__cpu_dot_max="max 100000",
        user_dot_slice__cpu_dot_max="250000 100000",
        user_dot_slice__app__memory_dot_max="4000000000",
        user_dot_slice__app__memory_dot_current="3000000000",
        user_dot_slice__app__memory_dot_stat="anon 5\ninactive_file 1500000000\n",
        user_dot_slice__memory_dot_max="max",
        user_dot_slice__memory_dot_current="5000000000",
    )
    machine = read_machine(root=root)
    assert machine.cores == 2
    assert machine.memory_total == 4_000_000_000
    # The page cache of the model file itself counts as used, and can be had back.
    assert machine.memory_available == 2_500_000_000


def test_version_1_in_a_container_uses_its_limits(root: Path) -> None:
    """The path is the host's, and does not exist below the container's own mount."""
    cgroup(
        root,
        "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n",
        **{
            "cpu,cpuacct__cpu_dot_cfs_quota_us": "150000",
            "cpu,cpuacct__cpu_dot_cfs_period_us": "100000",
            "memory__memory_dot_limit_in_bytes": "2000000000",
            "memory__memory_dot_usage_in_bytes": "500000000",
            "memory__memory_dot_stat": "total_inactive_file 100000000",
        },
    )
    machine = read_machine(root=root)
    # A thread that is throttled for half of the time holds up the others: one core and a half are one.
    assert machine.cores == 1
    assert (machine.memory_total, machine.memory_available) == (2_000_000_000, 1_600_000_000)


def test_version_1_without_limits_uses_the_machine(root: Path) -> None:
    cgroup(
        root,
        "4:memory:/\n2:cpu:/\n",
        cpu__cpu_dot_cfs_quota_us="-1",
        cpu__cpu_dot_cfs_period_us="100000",
        memory__memory_dot_limit_in_bytes="9223372036854771712",
        memory__memory_dot_usage_in_bytes="500000000",
    )
    machine = read_machine(root=root)
    assert (machine.cores, machine.memory_available) == (8, 12 * 10**9)


def test_two_threads_of_a_core_count_once(root: Path) -> None:
    for cpu in range(8):
        path = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        path.parent.mkdir(parents=True)
        path.write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    machine = read_machine(root=root)
    assert (machine.cores, machine.fast_cores) == (8, 4)


def test_only_fast_cores_of_arm_count(root: Path) -> None:
    for cpu in range(8):
        path = root / f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity"
        path.parent.mkdir(parents=True)
        path.write_text(f"{446 if cpu < 4 else 1024 if cpu == 7 else 942}\n")
    machine = read_machine(root=root)
    assert (machine.cores, machine.fast_cores) == (8, 4)
    (root / "sys/devices/system/cpu/cpu4/cpu_capacity").write_text("900\n")
    assert read_machine(root=root).fast_cores == 3


def test_only_fast_cores_of_intel_count(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two with two hardware threads each, and four."""
    for cpu in range(8):
        path = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        path.parent.mkdir(parents=True)
        path.write_text(f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}\n" if cpu < 4 else f"{cpu}\n")
    listed = root / "sys/devices/cpu_core/cpus"
    listed.parent.mkdir(parents=True)
    listed.write_text("0-3\n")
    machine = read_machine(root=root)
    assert (machine.cores, machine.fast_cores) == (8, 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5, 6, 7}, raising=False)
    assert read_machine(root=root).fast_cores == 3


def test_affinity(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert read_machine(root=root).cores == 1
