"""Machines by state, and the levels of the host."""

import msgspec
import pytest
from prometheus_client import REGISTRY

from monopod.api.resources import MicroVM
from monopod.controllers.microvm import metrics
from monopod.fargate.sizing import Size
from monopod.kube import Added, Deleted, Modified
from monopod.node.provider import Levels
from tests.microvm.build import condition, machine

pytestmark = [pytest.mark.unit, pytest.mark.row("S15")]

_ADDRESSED = condition("Addressed")
_LAUNCHED = condition("Launched")


def _machines(state: str, driver: str = "none") -> float:
    labels = {"state": state, "driver": driver}
    return REGISTRY.get_sample_value("monopod_machines", labels) or 0


def _under(found: MicroVM, driver: str) -> MicroVM:
    assert found.status is not None
    found.status = msgspec.structs.replace(found.status, driver=driver)
    return found


def test_a_machine_counts_once_in_the_state_that_it_is_in() -> None:
    counts = metrics.MachineCounts()
    states = [
        (machine(), "pending", "none"),
        (machine(_ADDRESSED, condition("Launched", "False", "Queued")), "queued", "none"),
        (machine(_ADDRESSED, condition("Launched", "False", "Launching")), "launching", "none"),
        (
            machine(_ADDRESSED, condition("Launched", "False", "CapacityUnavailable")),
            "pending",
            "none",
        ),
        (_under(machine(_ADDRESSED, _LAUNCHED), "gvisor"), "launched", "gvisor"),
        (_under(machine(_LAUNCHED, condition("Registered")), "gvisor"), "registered", "gvisor"),
        (
            _under(machine(_LAUNCHED, condition("Registered"), condition("Ready")), "gvisor"),
            "ready",
            "gvisor",
        ),
        (
            _under(machine(_LAUNCHED, condition("Ready"), condition("Terminated")), "gvisor"),
            "terminated",
            "gvisor",
        ),
    ]
    old = states[0][0]
    counts.changed(Added("mvm-1", old))
    counts.changed(Added("mvm-2", machine()))
    assert _machines("pending") == 2
    for found, state, driver in states:
        counts.changed(Modified("mvm-1", found, old))
        old = found
        assert _machines(state, driver) == (2 if state == "pending" else 1), state
    counts.changed(Deleted("mvm-1", old))
    assert (_machines("terminated", "gvisor"), _machines("pending")) == (0, 1)
    counts.changed(Deleted("mvm-2", machine()))
    assert _machines("pending") == 0


def test_the_hosts_levels_are_read_once_for_one_scrape() -> None:
    reads: list[int] = []

    def read() -> Levels:
        reads.append(1)
        return Levels(Size(8000, 2048), Size(250, 608), 100, 20, 5 << 30)

    metrics.watch_levels(read)
    expected = {
        "vcpus": 8,
        "reserved_vcpus": 0.25,
        "memory_bytes": 2 << 30,
        "reserved_memory_bytes": 608 << 20,
        "storage_bytes": 100 << 30,
        "reserved_storage_bytes": 20 << 30,
        "free_storage_bytes": 5 << 30,
    }
    found = {name: REGISTRY.get_sample_value(f"monopod_host_{name}") for name in expected}
    assert found == expected
    assert len(reads) == 1
