"""How many machines hosts have room for, from objects as the API server has them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

import msgspec
import pytest
from lightkube.core import resource as res
from lightkube.resources.core_v1 import Node, Pod
from rich.console import Console

from monopod.api import keys
from monopod.api.resources import MicroVM
from monopod.bench import table
from monopod.bench.hosts import hosts_of, idle_usage, machines_per_host
from monopod.bench.machines_per_host import MachinesPerHost, Resource, rooms, shown
from monopod.bench.report import Footprint
from monopod.bench.rounds import Running
from monopod.bench.statistics import Spread
from monopod.fargate.sizing import Size
from monopod.kube import Client, Listing
from monopod.node.provider import PlacementRequest
from monopod.node.provider.launcher_pod import launcher_pod
from monopod.node.provider.launcher_settings import LauncherSettings
from tests.bench.cases import REPORT, machine
from tests.framework.builders.pods import pod

pytestmark = pytest.mark.unit

FOOTPRINT = Footprint(
    driver="gvisor",
    machines=2,
    processes_mib=Spread(80.0, 90.0, 2),
    disks_mib=None,
    root_image_mib=None,
    guest_mib=None,
    idle_cpu_percent=Spread(2.0, 3.0, 2),
    watched_s=40.0,
)


def host(name: str, **allocatable: str) -> Node:
    amounts = {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "100Gi", "pods": "110"}
    known = amounts | {key.replace("_", "-"): value for key, value in allocatable.items()}
    return msgspec.convert({"metadata": {"name": name}, "status": {"allocatable": known}}, Node)


def launcher(name: str, on: str) -> Pod:
    wanted = PlacementRequest(
        name, "uid", Size(250, 512), 20, IPv4Address("100.64.3.4"), "shop", "zone-a"
    )
    made = launcher_pod(
        wanted, keys.DRIVER_GVISOR, LauncherSettings(image="example.test/launcher:1")
    )
    assert made.spec is not None
    made.spec.nodeName = on
    return made


def other(on: str, phase: str = "Running", **requests: str) -> Pod:
    return pod(nodeName=on, requests=requests, status={"phase": phase})


def per_host(nodes: Sequence[Node], pods: Sequence[Pod], ran: Mapping[str, int]) -> MachinesPerHost:
    request = {
        Resource.CPU: 360,
        Resource.MEMORY: 700 * (1 << 20) * 1000,
        Resource.STORAGE: 20 * (1 << 30) * 1000,
        Resource.PODS: 1000,
    }
    return MachinesPerHost("gvisor", request, idle_usage(FOOTPRINT), tuple(rooms(nodes, pods, ran)))


@pytest.mark.parametrize(
    ("allocatable", "most", "limit"),
    [
        ({"cpu": "2"}, 4, Resource.CPU),
        ({"cpu": "64"}, 4, Resource.STORAGE),
        ({"cpu": "64", "ephemeral_storage": "4000Gi"}, 5, Resource.MEMORY),
        (
            {"cpu": "64", "ephemeral_storage": "4000Gi", "memory": "512Gi", "pods": "100"},
            99,
            Resource.PODS,
        ),
    ],
)
def test_the_scarcest_resource_limits_the_machines_of_a_host(
    allocatable: Mapping[str, str], most: int, limit: Resource
) -> None:
    others = [other("a", cpu="400m", memory="128Mi", **{"ephemeral-storage": "1Gi"})]
    found = per_host([host("a", **allocatable)], others, {"a": 1})
    assert found.most(found.hosts[0]) == (most, limit)


def test_launcher_pods_and_ended_pods_take_nothing_from_machines() -> None:
    pods = [
        launcher("mvm-0", "a"),
        other("a", cpu="100m"),
        other("a", "Succeeded", cpu="1"),
        other("a", "Failed", cpu="1"),
        other("b", cpu="1"),
    ]
    (room,) = rooms([host("a"), host("b")], pods, {"a": 3})
    assert room.others[Resource.CPU] == 100
    assert room.others[Resource.PODS] == 1000
    assert room.ran == 3


def test_a_host_that_is_full_has_room_for_none() -> None:
    found = per_host([host("a")], [other("a", cpu="3")], {"a": 1})
    assert found.most(found.hosts[0]) == (0, Resource.CPU)


def test_usage_gives_the_machines_that_a_host_would_carry_idle() -> None:
    found = per_host([host("a")], [], {"a": 1})
    # 2 % of a core and 80 MiB each.
    assert found.idle_machines(found.hosts[0]) == {Resource.CPU: 100, Resource.MEMORY: 51}
    unknown = dataclasses.replace(FOOTPRINT, processes_mib=None, idle_cpu_percent=None)
    assert idle_usage(unknown) == {}


def test_amounts_are_shown_in_their_units() -> None:
    assert shown(Resource.CPU, 360) == "360m"
    assert shown(Resource.MEMORY, 2048 * (1 << 20) * 1000) == "2,048 MiB"
    assert shown(Resource.PODS, 110_000) == "110"


def test_table_and_document_have_the_limit_and_what_ran() -> None:
    found = per_host([host("a")], [other("a", cpu="400m")], {"a": 2})
    report = dataclasses.replace(REPORT, per_host=(found,))
    document = json.loads(json.dumps(report.document()))["machinesPerHost"][0]
    assert document["launcherRequests"]["milliCPU"] == 360
    (room,) = document["hosts"]
    assert (room["machines"], room["limit"], room["ran"]) == (4, "cpu", 2)
    assert room["machinesByResource"]["memory"] == 5
    assert room["idleMachinesByUsage"] == {"cpu": 100, "memory": 51}
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(table.render(report))
    cells = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in capture.get().splitlines()
    ]
    assert ["a", "cpu", "2000m", "400m", "360m", "4, the limit", "20m", "100", "2"] in cells
    assert ["", "memory", "4,096 MiB", "0 MiB", "700 MiB", "5", "80 MiB", "51", ""] in cells


class _Objects(Client):
    """A cluster of two hosts and one machine."""

    def __init__(self, pods: Sequence[Pod]) -> None:
        self._objects: dict[type[Any], Sequence[Any]] = {
            Pod: pods,
            Node: [host("a"), host("b")],
            MicroVM: [machine("mvm-0", "a"), machine("mvm-1", ""), machine("mvm-2", "b")],
        }

    async def list(
        self, kind: type[res.Resource], namespace: str | None = None, **how: str | None
    ) -> Listing[Any]:
        return Listing(tuple(self._objects[kind]), "1")


async def test_the_hosts_of_running_machines_are_measured() -> None:
    client = _Objects([launcher("mvm-0", "a"), other("a", cpu="400m")])
    running = [Running("m-0", "mvm-0", "n", 0.0), Running("m-1", "mvm-1", "n", 0.0)]
    hosts = await hosts_of(client, running)
    assert hosts == {"mvm-0": "a"}
    found = await machines_per_host(client, hosts, FOOTPRINT)
    assert found is not None
    # 250m, gVisor's own share and the router's.
    assert found.launcher[Resource.CPU] == 360
    assert [(each.host, each.ran) for each in found.hosts] == [("a", 1)]
    assert await machines_per_host(_Objects([]), hosts, FOOTPRINT) is None
