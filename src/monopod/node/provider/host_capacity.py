"""Checks whether a machine fits on the host. Pure, except for reading the host's size.

Reservations count, not usage: a machine's provisioned size is always available to it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from monopod.fargate.sizing import Size
from monopod.node.provider import CapacityUnavailableError
from monopod.node.provider.directory import DiskUse
from monopod.node.provider.settings import LocalSettings

_KIB_PER_MIB: Final = 1024


def this_host(meminfo: Path = Path("/proc/meminfo")) -> Size:
    """Return the processors and the memory of this host."""
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return Size((os.cpu_count() or 1) * 1000, int(value.split()[0]) // _KIB_PER_MIB)
    raise ValueError(f"{meminfo} has no MemTotal")


def for_machines(host: Size, settings: LocalSettings) -> Size:
    """Return how much of a host machines may reserve."""
    memory_mib = max(0, host.memory_mib - settings.reserved_memory_mib)
    return Size(int(host.milli_cpu * settings.cpu_ratio), int(memory_mib * settings.memory_ratio))


def total(sizes: Sequence[Size]) -> Size:
    """Add sizes up."""
    return Size(sum(each.milli_cpu for each in sizes), sum(each.memory_mib for each in sizes))


def check_fits(wanted: Size, taken: Sequence[Size], whole: Size) -> None:
    """Check that a machine fits next to the existing reservations.

    Args:
        wanted: The machine's reservation, its driver's overhead included.
        taken: The other machines' reservations, likewise.
        whole: The total that machines may reserve.

    Raises:
        CapacityUnavailableError: It does not fit; the message has requested, free and total
            amounts, and whether it could fit an empty host.
    """
    reserved = total(taken)
    lacking = [
        f"{_say(want, unit)} requested, {_say(max(0, have - used), unit)} free: of the"
        f" {_say(have, unit)} for machines on this host, {len(taken)} have {_say(used, unit)}"
        for want, used, have, unit in (
            (wanted.milli_cpu, reserved.milli_cpu, whole.milli_cpu, "vCPU"),
            (wanted.memory_mib, reserved.memory_mib, whole.memory_mib, "MiB"),
        )
        if used + want > have
    ]
    if not lacking:
        return
    never = not fits(wanted, whole)
    said = "it never fits this host, not even an empty one: " if never else ""
    raise CapacityUnavailableError(said + "; ".join(lacking))


def fits(wanted: Size, room: Size) -> bool:
    """Return whether a machine fits in some room, such as that of an empty host."""
    return wanted.milli_cpu <= room.milli_cpu and wanted.memory_mib <= room.memory_mib


def check_storage(
    wanted_gib: int, taken: Sequence[DiskUse], free_bytes: int, settings: LocalSettings
) -> None:
    """Check that a machine's data disk fits next to the existing ones.

    Args:
        wanted_gib: The disk's size.
        taken: The other machines' disks.
        free_bytes: What the file system of the disks has free for root.
        settings: The overcommit ratio, and what has to stay free.

    Raises:
        CapacityUnavailableError: It does not fit, or too little is free.
    """
    floor = settings.storage_floor_gib
    if free_bytes < floor << 30:
        raise CapacityUnavailableError(
            f"the file system of machines' disks has {free_bytes / (1 << 30):.1f} GiB free, and no"
            f" machine is launched below {floor} GiB: free some"
        )
    whole, used = storage_gib(taken, free_bytes, settings)
    if used + wanted_gib > whole:
        raise CapacityUnavailableError(
            f"{wanted_gib} GiB of storage requested, {max(0, whole - used)} GiB free: of the"
            f" {whole} GiB for machines' disks on this host, {len(taken)} have {used} GiB"
        )


def storage_gib(
    taken: Sequence[DiskUse], free_bytes: int, settings: LocalSettings
) -> tuple[int, int]:
    """Return how many GiB machines' disks may have in total, and how many they have.

    Args:
        taken: The machines' disks.
        free_bytes: What the file system of the disks has free for root.
        settings: The overcommit ratio, and what has to stay free.
    """
    floor = settings.storage_floor_gib << 30
    room = free_bytes + sum(each.used_bytes for each in taken) - floor
    whole = int(room / (1 << 30) * settings.storage_ratio)
    return max(0, whole), sum(each.size_gib for each in taken)


def free_bytes(directory: Path) -> int:
    """Return what the file system of a directory, which may not exist yet, has free for root."""
    while not directory.exists():
        directory = directory.parent
    found = os.statvfs(directory)
    return found.f_bfree * found.f_frsize


def _say(amount: int, unit: str) -> str:
    return f"{amount / 1000:g} vCPU" if unit == "vCPU" else f"{amount} {unit}"
