"""What docs/SPECIFICATION.md promises of machines of 0.25 vCPU and 0.5 GB, as benchmarks see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from monopod.api import keys


@dataclass(frozen=True, slots=True)
class Promise:
    """The most that a driver's machine takes, on a host of two cores that does other work too."""

    start_s: float
    """Seconds from a pod's creation until it is Ready, one pod at a time."""
    idle_mib: float
    """Memory of its host in MiB, by guest and VMM, or by its launcher pod."""
    idle_cpu_percent: float
    """Processor time while it is idle, in percent of a core."""


PROMISES: Final[Mapping[str, Promise]] = {
    keys.DRIVER_GVISOR: Promise(start_s=20, idle_mib=128, idle_cpu_percent=8),
    keys.DRIVER_UML: Promise(start_s=40, idle_mib=320, idle_cpu_percent=20),
    keys.DRIVER_TCG: Promise(start_s=90, idle_mib=640, idle_cpu_percent=40),
}


def check_promises(report: Mapping[str, Any]) -> None:
    """Check the single starts and the idle machines in a report of ``bench start``."""
    for each in report["series"]:
        if each["driver"] and each["atOnce"] == 1:
            start = each["phases"]["Ready"]["reachedSeconds"]["p95"]
            assert start <= PROMISES[each["driver"]].start_s, each["driver"]
    for each in report["footprints"]:
        promise = PROMISES[each["driver"]]
        assert each["processesMiB"]["p95"] <= promise.idle_mib, each["driver"]
        assert each["idleCpuPercent"]["p95"] <= promise.idle_cpu_percent, each["driver"]
