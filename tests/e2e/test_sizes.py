"""A pod gets the processors, CPU time and memory of its row of the size table."""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from monopod.bench.footprint import cpu_s
from monopod.fargate.sizing.quantity import parse_milli
from monopod.node.vmm.cgroups import Cgroups
from monopod.settings import Settings
from monopod.util.cgroups import Hierarchies
from tests.e2e.cluster import Namespace, pod

pytestmark = pytest.mark.e2e

_SPUN_S = 6.0
_MEASUREMENTS = 4
"""How often a host that is too busy to give a machine its CPU is measured again."""
_SPIN_S = 60
"""How long busy loops last: longer than all measurements."""
_PLATFORM = 0.1
"""CPU that a machine may use in addition to its pod's, in cores."""
_SLACK = 0.05
_MIB = 1 << 20
_SCATTERED_MIB = 400
"""More pages than a Linux process may have mappings unless its host allows more: 65,530."""


@dataclass(frozen=True)
class Size:
    """A row of the table and its smallest memory."""

    cpu: str
    vcpu: float
    memory_gib: float

    @property
    def processors(self) -> int:
        return max(1, round(self.vcpu))


_CASES = [
    ("gvisor", Size("250m", 0.25, 0.5)),
    ("qemu-tcg", Size("500m", 0.5, 1)),
    ("uml", Size("1", 1, 2)),
    ("gvisor", Size("4", 4, 8)),
]


@pytest.mark.row("S1")
@pytest.mark.parametrize(
    ("driver", "size"),
    [pytest.param(driver, size, id=f"{size.cpu}-{driver}") for driver, size in _CASES],
    scope="module",
)
async def test_a_pod_has_the_resources_of_its_size(
    namespace: Namespace, image: str, size: Size
) -> None:
    name = f"size-{size.cpu}"
    requests = {"resources": {"requests": {"cpu": size.cpu}}}
    await namespace.apply(pod(name, image, container=requests))
    await namespace.ready(name, timeout_s=240)
    found = await namespace.get("pod", name)
    node = await namespace.cluster.get("node", found["spec"]["nodeName"])
    machine = node["metadata"]["labels"]["monopod.dev/microvm"]
    try:
        capacity = f"{size.vcpu:g}vCPU {size.memory_gib:g}GB"
        assert found["metadata"]["annotations"]["CapacityProvisioned"] == capacity
        assert int(node["status"]["capacity"]["cpu"]) == size.processors
        assert parse_milli(node["status"]["allocatable"]["cpu"]) == size.vcpu * 1000
        allocatable_mib = parse_milli(node["status"]["allocatable"]["memory"]) / 1000 / _MIB
        assert allocatable_mib == size.memory_gib * 1024 - 256
        assert (await namespace.sh(name, "nproc")).strip() == str(size.processors)

        await _check_memory(namespace, name, int(allocatable_mib))
        await _check_time(namespace, name, machine, size)
    finally:
        # The next one needs the room.
        await namespace.kubectl("delete", "pod", name, "--timeout=30s")
        await namespace.cluster.kubectl("wait", "--for=delete", f"microvm/{machine}")


async def _check_memory(namespace: Namespace, name: str, allocatable_mib: int) -> None:
    """All of it can be used, but for what the shell and the page tables take; in any order too."""
    await _use_memory(namespace, name, "hold", allocatable_mib * 99 // 100 - 16)
    # Once for each driver is enough.
    if _SCATTERED_MIB < allocatable_mib <= 10 * _SCATTERED_MIB:
        await _use_memory(namespace, name, "scatter", _SCATTERED_MIB)


async def _use_memory(namespace: Namespace, name: str, how: str, mib: int) -> None:
    said = await namespace.sh(
        name, f"probe {how} {mib} >/tmp/said 2>&1 & until grep . /tmp/said || ! kill -0 $!;"
        " do sleep 0.2; done; kill $!; wait $!; [ $? = 143 ]"
    )  # fmt: skip
    assert said.strip() == "ready"


async def _check_time(namespace: Namespace, name: str, machine: str, size: Size) -> None:
    """More busy loops than processors: what they get is what was provisioned, and no more."""
    # They end by themselves: on a host that they starve nothing else could end them.
    spin = f"timeout {_SPIN_S} probe spin {size.processors + 1}"
    await namespace.sh(name, f"{spin} >/tmp/spun 2>&1 & sleep 1")
    wanted = min(size.vcpu, len(os.sched_getaffinity(0)))
    for _ in range(_MEASUREMENTS):
        cores, idle = await _cores_used(namespace.cluster.home, machine)
        assert cores <= size.vcpu + _PLATFORM + _SLACK, f"{cores:.2f} cores"
        # What others used meanwhile the machine could not have; what was idle it could.
        assert cores >= 0.6 * min(wanted, cores + idle), f"{cores:.2f} cores, {idle:.2f} idle"
        if cores >= 0.6 * wanted:
            return


async def _cores_used(home: Path, machine: str) -> tuple[float, float]:
    """Measure how many cores a machine used, and how many of the host were idle meanwhile."""
    parent = f"monopod-{Settings(home=home).instance}"
    group = Cgroups(Hierarchies.of_this_host(), parent).directory(machine)

    def used_s() -> float:
        used = cpu_s((group / "cpu.stat").read_text())
        assert used is not None
        return used

    before, idle, began = used_s(), _idle_s(), time.monotonic()
    # The duration of the measurement, not a wait.
    await asyncio.sleep(_SPUN_S)
    took = time.monotonic() - began
    return (used_s() - before) / took, (_idle_s() - idle) / took


def _idle_s() -> float:
    """Return how long the host's processors have been idle or waited for a disk, in seconds."""
    idle, io_wait = Path("/proc/stat").read_text().split(maxsplit=6)[4:6]
    return (int(idle) + int(io_wait)) / os.sysconf("SC_CLK_TCK")
