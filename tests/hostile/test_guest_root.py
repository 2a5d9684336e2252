"""An attacker who is root in a guest, and sends from its management address."""

from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from monopod.api.resources import MicroVM
from monopod.api.security_groups import SecurityGroup
from monopod.controllers.vpc import security_groups
from monopod.controllers.vpc.filter_table import GROUPS, filter_table
from monopod.node.net.cluster_network import API_PORT, REGISTRY_PORT
from tests.net.lab import WORLD, Guest, call, counts, dropped, lab, serving
from tests.net.test_desired import machine

pytestmark = pytest.mark.kernel

_HTTPS: Final = (str(WORLD.ip), 443)
_OTHER: Final = (str(WORLD.ip), 8443)


def _group(name: str, egress: list[dict[str, Any]] | None) -> SecurityGroup:
    spec = {"vpc": "default", "description": name, "ingress": [], "egress": egress}
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, SecurityGroup)


def _machine(guest: Guest, *groups: str) -> MicroVM:
    made = machine(guest.pod_link.name, "private-a", guest.management, guest.pod)
    spec = msgspec.structs.replace(made.spec, securityGroups=list(groups))
    return msgspec.structs.replace(made, spec=spec)


@pytest.mark.row("S5")
async def test_it_reaches_no_more_than_its_pods_groups_allow(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        closed, some, everything = [await made.guest() for _ in range(3)]
        https = {"protocol": "tcp", "fromPort": 443, "toPort": 443, "cidrBlocks": ["0.0.0.0/0"]}
        groups = [_group("none", []), _group("https", [https]), _group("all", None)]
        machines = [
            _machine(closed, "none"),
            _machine(some, "https"),
            _machine(everything, "all"),
        ]
        wanted = security_groups.filters(made.plan, groups, machines)
        await made.firewall.apply(filter_table(GROUPS, wanted))

        async def blocked() -> int:
            found = await made.firewall.contents(GROUPS.table)
            assert found is not None
            return found.counters[GROUPS.counter]

        control = str(made.plan.control.ip)
        async with (
            serving(made.world, *_HTTPS),
            serving(made.world, *_OTHER),
            serving(made.control, control, API_PORT),
            serving(made.control, control, REGISTRY_PORT),
        ):
            for guest, targets in ((closed, (_HTTPS, _OTHER)), (some, (_OTHER,))):
                for target in targets:
                    assert await counts(blocked, guest.namespace, guest.management, target)
            assert await call(some.namespace, some.management, _HTTPS)
            for target in (_HTTPS, _OTHER):
                assert await call(everything.namespace, everything.management, target)
            # What a kubelet needs, no group denies.
            for port in (API_PORT, REGISTRY_PORT):
                assert await call(closed.namespace, closed.management, (control, port))
            # Nothing but TCP goes out from there, in any group.
            out = partial(made.counted, "no_way_out")
            for guest in (closed, some, everything):
                where = guest.namespace, guest.management, _HTTPS
                assert await counts(out, *where, udp=True)
            victim = (closed.pod, 8080)
            where = everything.namespace, everything.management
            assert await dropped(made, "management_blocked", *where, victim)
