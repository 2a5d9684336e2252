"""Finds the addresses of Services that an egress rule opens. Pure.

A host's kube-proxy translates a Service's address behind the machine's router, which so sees the
Service and not its endpoint. A Service's port is open to a pod if every endpoint of it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lightkube.resources.core_v1 import Service
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.controllers.vpc.filters import Allowance, Ports, protocol_of
from monopod.controllers.vpc.local_traffic import slices_by_service
from monopod.kube import key_of
from monopod.node.net.addresses import parse_address


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service, and where it leads."""

    address: IPv4Address
    """The Service's cluster IP."""
    port: Ports
    endpoints: frozenset[tuple[IPv4Address, int]]
    """Addresses and ports, whether ready or not; at least one."""


def service_ports(
    services: Iterable[Service], slices: Iterable[EndpointSlice]
) -> Sequence[ServicePort]:
    """Return every port of every Service that leads anywhere.

    Args:
        services: All Services.
        slices: All EndpointSlices.
    """
    of_service = slices_by_service(slices)
    return [
        found
        for service in services
        for found in _ports_of(service, of_service.get(key_of(service), ()))
    ]


def opened(egress: Sequence[Allowance], ports: Iterable[ServicePort]) -> tuple[Allowance, ...]:
    """Return what opens those ports of Services all of whose endpoints a pod may open.

    Args:
        egress: Connections that the pod may open.
        ports: Ports of Services.
    """
    index = [_Opening.of(each) for each in egress]
    return tuple(
        Allowance(frozenset({IPv4Network(each.address)}), (each.port,))
        for each in ports
        if all(
            any(opening.allows(address, each.port.protocol, port) for opening in index)
            for address, port in each.endpoints
        )
    )


def _ports_of(service: Service, slices: Iterable[EndpointSlice]) -> Iterator[ServicePort]:
    address = parse_address(service.spec.clusterIP if service.spec else None)
    if address is None or service.spec is None:
        return
    targets: dict[tuple[str, str], set[tuple[IPv4Address, int]]] = {}
    for each in slices:
        addresses = [
            found
            for endpoint in each.endpoints or ()
            for text in endpoint.addresses[:1]
            if (found := parse_address(text)) is not None
        ]
        for port in each.ports or ():
            if port.port is not None:
                name = protocol_of(port), port.name or ""
                targets.setdefault(name, set()).update((at, port.port) for at in addresses)
    for port in service.spec.ports or ():
        protocol = protocol_of(port)
        if endpoints := targets.get((protocol, port.name or "")):
            yield ServicePort(address, Ports(protocol, port.port), frozenset(endpoints))


@dataclass(frozen=True, slots=True)
class _Opening:
    """An allowance whose single addresses are found by hash."""

    allowance: Allowance
    single: frozenset[IPv4Address]
    blocks: tuple[IPv4Network, ...]

    @classmethod
    def of(cls, allowance: Allowance) -> "_Opening":
        peers = allowance.peers or ()
        return cls(
            allowance,
            frozenset(each.network_address for each in peers if each.prefixlen == 32),
            tuple(each for each in peers if each.prefixlen < 32),
        )

    def allows(self, address: IPv4Address, protocol: str, port: int) -> bool:
        return (
            self.allowance.peers is None
            or address in self.single
            or any(address in block for block in self.blocks)
        ) and (
            self.allowance.ports is None
            or any(_has(each, protocol, port) for each in self.allowance.ports)
        )


def _has(ports: Ports, protocol: str, port: int) -> bool:
    if ports.protocol != protocol:
        return False
    return ports.first is None or ports.first <= port <= (ports.last or ports.first)
