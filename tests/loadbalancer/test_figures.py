"""Measures how long a thousand endpoints of one service take to become targets.

Figures want a host that does nothing else: ``MONOPOD_FIGURES=1 pytest -s`` with this file takes
them, and prints how busy the host was.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from monopod.controllers.loadbalancer import manager
from monopod.controllers.loadbalancer.last_known_good import LastKnownGood
from monopod.kube import Client
from tests.framework.builders import READY, service, slice_of
from tests.framework.eventually import eventually
from tests.kube.waiting import running
from tests.loadbalancer.rig import PORT, Rig, rig

pytestmark = [
    pytest.mark.api,
    pytest.mark.skipif(
        "MONOPOD_FIGURES" not in os.environ, reason="figures are taken by hand, on a quiet host"
    ),
    pytest.mark.timeout(600),
]
_ENDPOINTS, _PER_SLICE = 1000, 100
_WITHIN_S = 300.0


async def test_how_long_a_load_balancer_takes_for_a_thousand_endpoints(
    tmp_path: Path,
    admin: Client,
    namespace: str,
    record_property: Callable[[str, object], None],
) -> None:
    addresses = [str(IPv4Address("10.9.64.0") + number) for number in range(_ENDPOINTS)]
    await admin.create(service(namespace=namespace))
    async with rig(tmp_path) as made:
        accepted = LastKnownGood(tmp_path / "accepted.json")
        work = manager.run(admin, made.haproxy, accepted, made.plan, "local-1")
        async with running(work):
            await _publish(admin, namespace, addresses[:2])
            await _in_use(made, 2)
            spent = time.process_time()
            began = time.monotonic()
            await _publish(admin, namespace, addresses[2:])
            created = time.monotonic() - began
            await _in_use(made, _ENDPOINTS)
            figures = {
                "created_s": created,
                "targets_s": time.monotonic() - began,
                "cpu_s": time.process_time() - spent,
                "load": os.getloadavg()[0],
            }
    for name, value in figures.items():
        record_property(name, round(value, 2))
    print({name: round(value, 2) for name, value in figures.items()})


async def _publish(admin: Client, namespace: str, addresses: Sequence[str]) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(0, len(addresses), _PER_SLICE):
            some = dict.fromkeys(addresses[number : number + _PER_SLICE], READY)
            made = slice_of("web", some, namespace=namespace, ports={"http": PORT})
            assert made.metadata is not None
            made.metadata.name = f"web-{addresses[number].replace('.', '-')}"
            group.create_task(admin.create(made))


async def _in_use(rig: Rig, count: int) -> None:
    async def found() -> bool:
        assert sum(each.in_use for each in await rig.servers()) == count
        return True

    await eventually(found, f"{count} servers in use", _WITHIN_S, every_s=0.05)
