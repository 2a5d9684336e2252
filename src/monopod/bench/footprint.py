"""Measures the memory and CPU that idle machines take of their host."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from monopod.bench.report import Footprint
from monopod.bench.statistics import spread
from monopod.kube import Client, KubeError
from monopod.util.process import ProcessError, run

SETTLE_S: Final = 10.0
"""Seconds that machines get to settle first: kubelet's housekeeping goes on after a start."""
WATCH_S: Final = 20.0
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class IdleMachine:
    """A running machine."""

    name: str
    node: str
    cgroup: Path
    """Its cgroup of version 2, which contains all of its processes."""
    memory_cgroup: Path
    """The cgroup that its memory is charged to, of either version."""
    disks: tuple[Path, ...]
    """Its own disks."""


@dataclass(frozen=True, slots=True)
class _Memory:
    processes_mib: float | None
    disks_mib: float | None
    guest_mib: float | None


async def measure(
    client: Client,
    driver: str,
    machines: Sequence[IdleMachine],
    root_image: Path,
    *,
    settle_s: float = SETTLE_S,
    watch_s: float = WATCH_S,
) -> Footprint:
    """Measure machines over a period in which nothing else should start or stop."""
    await asyncio.sleep(settle_s)
    before = {each.name: _cpu_s(each.cgroup) for each in machines}
    began = time.monotonic()
    await asyncio.sleep(watch_s)
    after = {each.name: _cpu_s(each.cgroup) for each in machines}
    watched_s = time.monotonic() - began
    found = [await _memory(client, each) for each in machines]
    return Footprint(
        driver=driver,
        machines=len(machines),
        processes_mib=spread(_known(each.processes_mib for each in found)),
        disks_mib=spread(_known(each.disks_mib for each in found)),
        root_image_mib=await _cached_mib([root_image]),
        guest_mib=spread(_known(each.guest_mib for each in found)),
        idle_cpu_percent=spread(
            _known(_percent(before[name], used_s, watched_s) for name, used_s in after.items())
        ),
        watched_s=watched_s,
    )


def _percent(before_s: float | None, after_s: float | None, watched_s: float) -> float | None:
    if before_s is None or after_s is None:
        return None
    return (after_s - before_s) / watched_s * 100


async def _memory(client: Client, machine: IdleMachine) -> _Memory:
    return _Memory(
        processes_mib=_processes_mib(machine.memory_cgroup),
        disks_mib=await _cached_mib(machine.disks),
        guest_mib=await _guest_mib(client, machine.node),
    )


def _processes_mib(cgroup: Path) -> float | None:
    try:
        stat = (cgroup / "memory.stat").read_text()
        kernel = cgroup / "memory.kmem.usage_in_bytes"
        return processes_bytes(stat, kernel.read_text() if kernel.exists() else None) / _MIB
    except (OSError, KeyError):
        return None


def processes_bytes(stat: str, legacy_kernel: str | None) -> int:
    """Return the memory charged to a cgroup without the page cache of disk files, in bytes.

    Proportional set sizes are unsuitable: processes that share an address space, as a UML kernel
    and its helpers do, would each count it.

    Args:
        stat: The cgroup's ``memory.stat``.
        legacy_kernel: In version 1, the kernel memory of the cgroup; None in version 2.

    Raises:
        KeyError: ``stat`` is the ``memory.stat`` of neither version.
    """
    values = {name: int(value) for name, value in (line.split() for line in stat.splitlines())}
    if legacy_kernel is not None:
        return values["rss"] + values["shmem"] + int(legacy_kernel)
    return values["anon"] + values["shmem"] + values["kernel"]


def _cpu_s(cgroup: Path) -> float | None:
    try:
        return cpu_s((cgroup / "cpu.stat").read_text())
    except OSError:
        return None


def cpu_s(stat: str) -> float | None:
    """Return the CPU time in a cgroup's ``cpu.stat``, in seconds, or None."""
    for line in stat.splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec":
            return int(value) / 1e6
    return None


async def _cached_mib(files: Sequence[Path]) -> float | None:
    """Return how much of some files is in the host's page cache, in MiB."""
    words = ("fincore", "--bytes", "--noheadings", "--raw", "--output", "RES")
    try:
        said = await run(*words, *files)
    except ProcessError:
        return None
    return sum(map(int, said.split())) / _MIB


async def _guest_mib(client: Client, node: str) -> float | None:
    try:
        said = await client.raw(f"/api/v1/nodes/{node}/proxy/stats/summary")
        summary: Any = msgspec.json.decode(said)
        return summary["node"]["memory"]["workingSetBytes"] / _MIB
    except (KubeError, KeyError, msgspec.DecodeError):
        return None


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
