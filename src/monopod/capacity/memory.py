"""Whether there is room for one more machine. Pure, but for reading what the host has."""

from collections.abc import Iterable
from pathlib import Path

from monopod.capacity import CapacityUnavailableError
from monopod.capacity.settings import LocalSettings

_KIB_PER_MIB = 1024


def host_memory_mib(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return this host's memory in MiB."""
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) // _KIB_PER_MIB
    raise ValueError(f"{meminfo} has no MemTotal")


def check_room(
    wanted_mib: int, promised_mib: Iterable[int], host_mib: int, settings: LocalSettings
) -> None:
    """See that a machine's memory can be promised beside what already is.

    Raises:
        CapacityUnavailableError: It cannot; tells the arithmetic.
    """
    overhead = settings.machine_overhead_mib
    for_machines = int((host_mib - settings.reserved_memory_mib) * settings.memory_ratio)
    taken = [memory_mib + overhead for memory_mib in promised_mib]
    if sum(taken) + wanted_mib + overhead > for_machines:
        raise CapacityUnavailableError(
            f"{wanted_mib + overhead} MiB wanted, {for_machines - sum(taken)} MiB free: of the "
            f"{for_machines} MiB for machines on this host, {len(taken)} have {sum(taken)} MiB"
        )
