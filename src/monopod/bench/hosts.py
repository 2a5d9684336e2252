"""The hosts of a cluster that Monopod was installed into: which machine runs on which."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from lightkube.resources.core_v1 import Node, Pod

from monopod.api.resources import MicroVM
from monopod.bench.machines_per_host import (
    Amounts,
    MachinesPerHost,
    Resource,
    launcher_requests,
    rooms,
)
from monopod.bench.report import Footprint
from monopod.bench.rounds import Running
from monopod.kube import Client, name_of

_MIB: Final = 1 << 20


async def hosts_of(client: Client, running: Sequence[Running]) -> dict[str, str]:
    """Return the host that each running pod's machine is on, by the machine's name."""
    names = {each.machine for each in running}
    return {
        name_of(each): each.status_or_empty.host
        for each in (await client.list(MicroVM)).items
        if name_of(each) in names and each.status_or_empty.host
    }


async def machines_per_host(
    client: Client, hosts: Mapping[str, str], footprint: Footprint
) -> MachinesPerHost | None:
    """Return how many machines the hosts of running ones have room for.

    Args:
        client: Client of an administrator.
        hosts: The host of each running machine, by the machine's name.
        footprint: What they use while they are idle.

    Returns:
        None if no launcher pod of them is left.
    """
    pods = (await client.list(Pod)).items
    launcher = launcher_requests(pods, hosts)
    if launcher is None:
        return None
    nodes = (await client.list(Node)).items
    return MachinesPerHost(
        footprint.driver,
        launcher,
        idle_usage(footprint),
        tuple(rooms(nodes, pods, Counter(hosts.values()))),
    )


def idle_usage(footprint: Footprint) -> Amounts:
    """Return the median of what an idle machine uses, in thousandths of cores and of bytes."""
    found: dict[Resource, int] = {}
    if footprint.idle_cpu_percent is not None:
        found[Resource.CPU] = round(footprint.idle_cpu_percent.p50 * 10)
    if footprint.processes_mib is not None:
        found[Resource.MEMORY] = round(footprint.processes_mib.p50 * _MIB) * 1000
    return found
