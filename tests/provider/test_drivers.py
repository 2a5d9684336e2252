"""Drivers that a host cannot run are kept with their reasons, and looked at again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from monopod.node.provider import DriverUnavailableError, ProviderError
from monopod.node.provider.driver_selection import Candidate
from monopod.node.provider.drivers import Drivers, Finding
from monopod.node.provider.report import DriverReport
from monopod.node.vmm.driver import LinkKind, Machine, MachineExit, VmmError

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 23, 18, 0, 0, tzinfo=UTC)
EARLIER = datetime(2026, 11, 22, 18, 0, 0, tzinfo=UTC)


@dataclass
class FakeDriver:
    """A driver that runs nothing."""

    name: str
    max_milli_cpu: int = 16000
    link_kind: LinkKind = LinkKind.TAP
    has_template: bool = True
    lacks: str = ""
    looked: int = 0
    stopped: list[str] = field(default_factory=list[str])

    async def prepare(self) -> None:
        self.looked += 1
        if self.lacks:
            raise VmmError(self.lacks)

    async def launch(self, machine: Machine, links: Sequence[int]) -> None:
        raise VmmError(f"{machine.name} is not started on {links}")

    async def watch(self, name: str) -> MachineExit:
        raise VmmError(name)

    def set_cpu_quota(self, name: str, milli_cpu: int) -> None:
        raise VmmError(f"{name} {milli_cpu}")

    async def stop(self, name: str) -> None:
        self.stopped.append(name)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_drivers_failure_is_recorded() -> None:
    uml, kvm = FakeDriver("uml", 1000), FakeDriver("qemu-kvm", lacks="there is no KVM")
    drivers = Drivers([uml, kvm])
    await drivers.prepare()
    assert [(each.name, each.unusable) for each in drivers.candidates] == [
        ("uml", ""),
        ("qemu-kvm", "there is no KVM"),
    ]
    drivers.require()
    assert drivers["qemu-kvm"] is kvm
    assert drivers.named("xen") is None


async def test_a_host_without_a_usable_driver_is_rejected() -> None:
    drivers = Drivers([FakeDriver("uml", lacks="bwrap"), FakeDriver("qemu-tcg", lacks="QEMU")])
    await drivers.prepare()
    with pytest.raises(ProviderError, match="uml: bwrap; qemu-tcg: QEMU"):
        drivers.require()


async def test_a_check_overrides_a_successful_preparation() -> None:
    async def dies() -> Finding:
        return Finding(False, "the probe guest died", EARLIER)

    drivers = Drivers([FakeDriver("qemu-kvm")], {"qemu-kvm": dies})
    await drivers.prepare()
    assert drivers.reports == (
        DriverReport(Candidate("qemu-kvm", 16000, "the probe guest died"), "", EARLIER),
    )


async def test_a_failing_check_makes_a_driver_unusable() -> None:
    async def breaks() -> Finding:
        raise VmmError("QEMU is too old")

    drivers = Drivers([FakeDriver("qemu-kvm")], {"qemu-kvm": breaks}, now=lambda: NOW)
    await drivers.prepare()
    assert drivers.reports == (
        DriverReport(Candidate("qemu-kvm", 16000, "QEMU is too old"), "", NOW),
    )


async def test_what_a_check_found_is_kept() -> None:
    async def works() -> Finding:
        return Finding(True, "a guest booted", EARLIER)

    drivers = Drivers([FakeDriver("qemu-kvm")], {"qemu-kvm": works}, now=lambda: NOW)
    await drivers.prepare()
    assert drivers.reports == (
        DriverReport(Candidate("qemu-kvm", 16000), "a guest booted", EARLIER),
    )


async def test_a_driver_that_becomes_usable_is_used() -> None:
    uml, tcg = FakeDriver("uml", 1000), FakeDriver("qemu-tcg", lacks="QEMU")
    clock, news = Clock(), list[int]()
    drivers = Drivers([uml, tcg], changed=lambda _: news.append(tcg.looked), clock=clock)
    await drivers.prepare()
    with pytest.raises(DriverUnavailableError, match="QEMU"):
        await drivers.choose(250, "qemu")
    assert tcg.looked == 1
    tcg.lacks = ""
    clock.now += 60
    assert (await drivers.choose(250, "qemu")).driver == "qemu-tcg"
    assert (await drivers.choose(250, "")).driver == "uml"
    assert (tcg.looked, uml.looked) == (2, 1)
    assert news == [1, 2]
