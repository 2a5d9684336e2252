"""How many machines a host of a cluster has room for, and what limits them first. Pure."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lightkube.models.core_v1 import PodSpec
from lightkube.resources.core_v1 import Node, Pod

from monopod.api.constants import FINISHED_PHASES
from monopod.fargate.sizing import parse_milli, requests_of
from monopod.kube import name_of
from monopod.node.provider.launcher_pod import plan_of

_MILLI: Final = 1000


class Resource(enum.Enum):
    """What the cluster's scheduler counts of a host."""

    CPU = "cpu"
    MEMORY = "memory"
    STORAGE = "ephemeral-storage"
    PODS = "pods"


Amounts = Mapping[Resource, int]
"""Thousandths of cores, of bytes, and of pods."""


@dataclass(frozen=True, slots=True)
class HostRoom:
    """One host: what it has, what others request of it, and the machines that ran on it."""

    host: str
    allocatable: Amounts
    others: Amounts
    """Requests of its pods that are no launcher pods."""
    ran: int
    """Machines that ran on it at the same time."""

    def machines(self, launcher: Amounts) -> dict[Resource, int]:
        """Return how many launcher pods fit next to the other pods, by each resource alone."""
        return {
            resource: max(0, self.allocatable.get(resource, 0) - self.others.get(resource, 0)) // of
            for resource, of in launcher.items()
            if of > 0
        }


@dataclass(frozen=True, slots=True)
class MachinesPerHost:
    """Machines of one size on the hosts that they ran on.

    Computed from requests and measured usage, but for ``HostRoom.ran``, which was counted.
    """

    driver: str
    launcher: Amounts
    """What one launcher pod requests."""
    idle: Amounts
    """Median of what an idle machine uses; what was not observed is absent."""
    hosts: tuple[HostRoom, ...]

    def most(self, room: HostRoom) -> tuple[int, Resource]:
        """Return how many machines fit on a host, and the resource that limits them."""
        found = room.machines(self.launcher)
        limit = min(found, key=lambda resource: found[resource])
        return found[limit], limit

    def idle_machines(self, room: HostRoom) -> dict[Resource, int]:
        """Return how many idle machines use up what the host has, if nothing else ran on it."""
        return {
            resource: room.allocatable.get(resource, 0) // used
            for resource, used in self.idle.items()
            if used > 0
        }

    def document(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return {
            "driver": self.driver,
            "launcherRequests": _document(self.launcher),
            "idleMachineUses": _document(self.idle),
            "hosts": [self._host(each) for each in self.hosts],
        }

    def _host(self, room: HostRoom) -> dict[str, Any]:
        most, limit = self.most(room)
        return {
            "host": room.host,
            "allocatable": _document(room.allocatable),
            "requestedByOthers": _document(room.others),
            "machines": most,
            "limit": limit.value,
            "machinesByResource": _named(room.machines(self.launcher)),
            "idleMachinesByUsage": _named(self.idle_machines(room)),
            "ran": room.ran,
        }


def requested(spec: PodSpec) -> dict[Resource, int]:
    """Return what a pod requests of a host, as the scheduler counts it."""
    named = (Resource.CPU, Resource.MEMORY, Resource.STORAGE)
    return {**{each: requests_of(spec, each.value).milli for each in named}, Resource.PODS: _MILLI}


def rooms(nodes: Iterable[Node], pods: Iterable[Pod], ran: Mapping[str, int]) -> list[HostRoom]:
    """Return the hosts on which machines ran.

    Args:
        nodes: All nodes.
        pods: All pods.
        ran: Number of machines by the name of their host.
    """
    others: dict[str, dict[Resource, int]] = {}
    for pod in pods:
        if (host := _host_of(pod)) not in ran or plan_of(pod) is not None or pod.spec is None:
            continue
        taken = others.setdefault(host, dict.fromkeys(Resource, 0))
        for resource, amount in requested(pod.spec).items():
            taken[resource] += amount
    return [
        HostRoom(name, _allocatable(each), others.get(name, {}), ran[name])
        for each in nodes
        if (name := name_of(each)) in ran
    ]


def launcher_requests(pods: Iterable[Pod], hosts: Mapping[str, str]) -> dict[Resource, int] | None:
    """Return what the launcher pod of a machine requests. None means that there is none.

    Args:
        pods: All pods.
        hosts: The host of each machine, by the machine's name.
    """
    for pod in pods:
        if name_of(pod) in hosts and plan_of(pod) is not None and pod.spec is not None:
            return requested(pod.spec)
    return None


def _host_of(pod: Pod) -> str:
    if pod.spec is None or (pod.status is not None and pod.status.phase in FINISHED_PHASES):
        return ""
    return pod.spec.nodeName or ""


def _allocatable(node: Node) -> dict[Resource, int]:
    known = (node.status.allocatable if node.status else None) or {}
    return {each: parse_milli(str(known[each.value])) for each in Resource if each.value in known}


def _document(amounts: Amounts) -> dict[str, int]:
    """Return amounts in thousandths of cores, whole MiB and pods."""
    return {_UNITS[each][0]: amount // _UNITS[each][1] for each, amount in amounts.items()}


def _named(counts: Mapping[Resource, int]) -> dict[str, int]:
    return {resource.value: count for resource, count in counts.items()}


_MIB: Final = (1 << 20) * _MILLI
_UNITS: Final[Mapping[Resource, tuple[str, int]]] = {
    Resource.CPU: ("milliCPU", 1),
    Resource.MEMORY: ("memoryMiB", _MIB),
    Resource.STORAGE: ("storageMiB", _MIB),
    Resource.PODS: ("pods", _MILLI),
}


def shown(resource: Resource, amount: int) -> str:
    """Return an amount for people: ``350m``, ``661 MiB``, ``110``."""
    _, unit = _UNITS[resource]
    match resource:
        case Resource.CPU:
            return f"{amount}m"
        case Resource.PODS:
            return f"{amount // unit}"
        case _:
            return f"{amount // unit:,} MiB"
