"""Reads the cores, memory and graphics processors that this process may use. Starts no process.

In a container the machine's own values are too high: one thread beyond the quota makes decoding twenty times
slower, and one byte beyond the limit ends the process. So the affinity mask and the control group's quota and
limit (versions 1 and 2) apply.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

Device = Literal["cpu", "cuda", "metal"]


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics processor that mistral.rs computes on. On Apple's chips it shares the machine's memory."""

    name: str
    device: Literal["cuda", "metal"]
    memory_total: int
    memory_available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine, or the part of it that this process may use. Memory is in bytes."""

    cores: int
    """Usable logical processors, at least 1, by affinity mask and quota."""
    fast_cores: int
    """Fast physical cores among them. Two hardware threads of a core count once; slow cores do not count."""
    memory_total: int
    memory_available: int
    """Free and reclaimable memory within the limit, available without swapping."""
    gpus: tuple[Gpu, ...] = ()
    processor: str = ""
    """The processor's name. A calibration is valid for one processor."""
    vnni: bool = True
    """True if the processor has instructions for 8-bit products (AVX-512 VNNI, AVX-VNNI; assumed except on
    x86-64). Only then does mistral.rs rearrange Q8_0 for speed."""
    avx2: bool = False
    """True for x86-64 with AVX2 on Linux, where mistral.rs rearranges only rows that are multiples of 256."""
    kv_element_bytes: int = 4
    """Bytes per number in mistral.rs's KV cache on the CPU: 2 if the processor computes 16-bit floats
    quickly."""

    @property
    def gpu(self) -> Gpu | None:
        """The graphics processor with the most available memory; None if models are computed on the CPU."""
        return max(self.gpus, key=lambda gpu: gpu.memory_available, default=None)


def read_machine(gpus: tuple[Gpu, ...] = (), root: Path = Path("/")) -> Machine:
    """Return the current state of this machine. Takes about a millisecond, so call it whenever memory
    matters.

    `gpus` come from engine/mistralrs/devices.py, because finding them starts a process. `root` is for tests.
    """
    allowed = sorted(_affinity())
    quota = _cpu_quota(root)
    cores = max(1, min(len(allowed), int(quota) if quota else len(allowed)))
    processor = _processor(root)
    # The line is named "flags" on x86-64 and "Features" on Arm.
    flags, features = (frozenset(processor.get(name, "").split()) for name in ("flags", "Features"))
    memory = psutil.virtual_memory()
    total, available = int(memory.total), int(memory.available)
    for limit, used in _memory_limits(root):
        if limit < memory.total:
            total, available = min(total, limit), min(available, max(0, limit - used))
    return Machine(
        cores=cores,
        fast_cores=max(1, min(cores, _fast_cores(allowed, root))),
        memory_total=total,
        memory_available=available,
        gpus=gpus,
        processor=processor.get("model name") or os.uname().machine,
        vnni=not flags or not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags),
        avx2="avx2" in flags,
        kv_element_bytes=_kv_element_bytes(flags | features),
    )


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _fast_cores(allowed: list[int], root: Path) -> int:
    """Return the number of fast cores behind these logical processors. Only they help, because all threads
    wait for the slowest."""
    if sys.platform == "darwin":
        # macOS has neither affinity nor sysfs, and Apple's cores have one thread each.
        return psutil.cpu_count(logical=False) or len(allowed)
    cores = {
        _read(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        for cpu in _fast(allowed, root)
    }
    return len(cores)


def _fast(allowed: list[int], root: Path) -> list[int]:
    """Return the faster ones of these logical processors; all of them if there is only one kind.

    Arm's processors report their capacity, which mistral.rs uses (candle-core/src/utils.rs,
    linux_detect_preferred_cpus). For Intel's, the kernel lists one kind of core.
    """
    told = [_read(root / f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity") or "" for cpu in allowed]
    if all(capacity.isdigit() for capacity in told):
        capacities = [int(capacity) for capacity in told]
        most = max(capacities)
        return [cpu for cpu, capacity in zip(allowed, capacities, strict=True) if capacity * 10 >= most * 9]
    listed = set(_cpu_list(_read(root / "sys/devices/cpu_core/cpus") or ""))
    return [cpu for cpu in allowed if cpu in listed] or allowed


def _cpu_list(text: str) -> Iterator[int]:
    """Yield the numbers in a list of the kernel, such as "0-7,16"."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            yield from range(int(first), int(last or first) + 1)


def _cpu_quota(root: Path) -> float | None:
    """Return the control groups' processor quota in cores; None if they set none."""
    quotas = []
    for group in _groups(root, "cpu"):
        # Version 2 has "200000 100000" or "max 100000"; version 1 has two files, with -1 for no quota.
        words = (_read(group / "cpu.max") or "").split()
        if len(words) != 2:
            words = [
                _read(group / "cpu.cfs_quota_us") or "max",
                _read(group / "cpu.cfs_period_us") or "0",
            ]
        if words[0].isdigit() and words[1].isdigit() and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield the limit and the use, in bytes, of every control group of this process that has a limit."""
    for group in _groups(root, "memory"):
        for limit_name, usage_name, reclaimable in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, usage = _read(group / limit_name), _read(group / usage_name)
            if limit and limit.isdigit() and usage and usage.isdigit():
                # Mapped and cached files count as used although they are reclaimable.
                cache = _fields(_read(group / "memory.stat") or "").get(reclaimable, 0)
                yield int(limit), max(0, int(usage) - cache)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the directories of this process's control groups for one controller, from its own up to the root.

    In a container the path in /proc/self/cgroup may be the host's and not exist below the mount. The mount's
    root is then the container's own group, so it is always included.
    """
    mount = root / "sys/fs/cgroup"
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            tops = [mount, mount / "unified"]
        elif controller in controllers.split(","):
            tops = [mount / controllers, mount / controller]
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..", ".")]
        for top in tops:
            for depth in range(len(parts), -1, -1):
                group = top.joinpath(*parts[:depth])
                if group.is_dir():
                    yield group


def _processor(root: Path) -> Mapping[str, str]:
    """Return Linux's description of the first logical processor; empty on other systems.

    The other processors are skipped, because the file is long.
    """
    first, _, _ = (_read(root / "proc/cpuinfo") or "").partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _kv_element_bytes(able: frozenset[str]) -> int:
    """Return mistral.rs's choice of bytes (mistralrs-core/src/kv_cache/mod.rs, cpu_kv_f16); 4 if unknown."""
    if os.environ.get("MISTRALRS_CPU_KV_F32", "0") != "0":
        return 4
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return 2
    fast = ({"avx512f"}, {"avx2", "fma", "f16c"}, {"asimdhp", "asimdfhm"})
    return 2 if any(needed <= able for needed in fast) else 4


def _fields(text: str) -> Mapping[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _read(path: Path) -> str | None:
    """Return the text of a small file; None if it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return None
