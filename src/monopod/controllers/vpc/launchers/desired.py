"""The rules that each machine's router should have. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from monopod.controllers.vpc.filter_table import Kind, filter_table
from monopod.controllers.vpc.filters import Allowance, Filter
from monopod.controllers.vpc.launchers.services import ServicePort, opened
from monopod.node.launcher.router import MANAGEMENT, POLICIES, POLICIES_PRIORITY
from monopod.node.net.nft import Json

KIND: Final = Kind(
    table=POLICIES,
    priority=POLICIES_PRIORITY,
    counter="policies_blocked",
    guards_resolver=False,
    # A kubelet probes its pod.
    passes_from=(MANAGEMENT,),
    knows_all=True,
)
"""Network policies in the router of one machine."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """A launcher pod with an address."""

    machine: str
    address: IPv4Address
    host: IPv4Address | None
    """The address of its host, whose connections are always accepted, as Kubernetes has it."""


def desired(
    launchers: Iterable[Launcher], filters: Sequence[Filter], services: Sequence[ServicePort]
) -> dict[str, tuple[Filter, ...]]:
    """Return the filters of each machine, by its name.

    Args:
        launchers: All launcher pods with an address.
        filters: All filters of the cluster's network policies.
        services: All ports of Services.
    """
    known = list(launchers)
    addresses = {each.address for each in known}
    governing: dict[IPv4Address, list[Filter]] = {each: [] for each in addresses}
    for each in filters:
        for address in each.governs & addresses:
            governing[address].append(each)
    opening = _Services(services)
    return {
        each.machine: tuple(
            replace(found, governs=frozenset({each.address}))
            for found in (
                *governing[each.address],
                *opening.of(governing[each.address]),
                *_from_host(each.host),
            )
        )
        for each in known
        # A pod that is not known yet, or no more: its router lets nothing pass.
        if governing[each.address]
    }


def commands(filters: Sequence[Filter]) -> list[Json]:
    """Return the commands for ``nft -j`` that replace the rules of a machine's router."""
    return filter_table(KIND, filters)


class _Services:
    """The Services that pods may call: the same for all that the same filters govern."""

    def __init__(self, ports: Sequence[ServicePort]) -> None:
        self._ports = ports
        self._found: dict[tuple[str, ...], tuple[Filter, ...]] = {}

    def of(self, governing: Sequence[Filter]) -> tuple[Filter, ...]:
        """Return what opens Services to an address that these filters govern."""
        names = tuple(each.name for each in governing)
        if names not in self._found:
            egress = [allowance for each in governing for allowance in each.egress or ()]
            self._found[names] = (
                (Filter("services", frozenset(), None, opened(egress, self._ports)),)
                if Allowance() not in egress
                else ()
            )
        return self._found[names]


def _from_host(host: IPv4Address | None) -> Iterable[Filter]:
    if host is not None:
        allowed = (Allowance(frozenset({IPv4Network(host)})),)
        yield Filter("host", frozenset(), allowed, None)


def changed(
    before: Mapping[str, Sequence[Filter]], after: Mapping[str, Sequence[Filter]]
) -> Iterable[str]:
    """Return the machines whose filters differ."""
    return (name for name in after if before.get(name) != after[name])
