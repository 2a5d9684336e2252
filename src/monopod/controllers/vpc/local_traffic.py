"""Computes routes for services whose ``internalTrafficPolicy`` is ``Local``. Pure.

Elsewhere each node's kube-proxy sends such a connection to an endpoint on the client's node. Here
one kube-proxy serves all nodes; no endpoint is local to it, so it drops all such connections. These
routes are looked up before it and translate those that have a local endpoint.

A Fargate pod is alone on its node, so only the pod itself is local to it. Pods of a worker node are
local to each other. Guests' kubelets write pod status, and EndpointSlices follow that, so an
address is used only if it belongs to the endpoint's node: a forged one has no effect, and a
connection never leaves the client's node.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from lightkube.models.discovery_v1 import Endpoint
from lightkube.resources.core_v1 import Service
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.api.resources import MicroVM
from monopod.controllers.vpc.filters import protocol_of
from monopod.controllers.vpc.security_groups import pod_address
from monopod.kube import Key, key_of, labels_of, meta
from monopod.node.net.addresses import parse_address

_LOCAL: Final = "Local"
_SERVICE: Final = "kubernetes.io/service-name"
_IPV4: Final = "IPv4"
_TO_THE_SAME: Final = "ClientIP"

Target = tuple[IPv4Address, int]
"""An endpoint's address and port."""
_Found = dict[tuple[str, str, str], set[Target]]
"""Targets by node, protocol and name of the port."""


@dataclass(frozen=True, slots=True)
class Route:
    """One port of a service, for the client pods of one node."""

    callers: frozenset[IPv4Address]
    """All addresses of the node's pods."""
    service: IPv4Address
    protocol: str
    """``tcp``, ``udp`` or ``sctp``."""
    port: int
    targets: tuple[Target, ...]
    """At least one, each on the clients' node; sorted."""
    sticky: bool = False
    """Whether a client always reaches the same target while the targets do not change."""


def is_local(service: Service) -> bool:
    """Whether a service's cluster IP leads to local endpoints only."""
    return service.spec is not None and service.spec.internalTrafficPolicy == _LOCAL


def service_of(endpoints: EndpointSlice) -> Key:
    """Return the key of the service that a slice belongs to."""
    name = labels_of(endpoints).get(_SERVICE, "")
    return f"{meta(endpoints).namespace or ''}/{name}"


def slices_by_service(slices: Iterable[EndpointSlice]) -> Mapping[Key, Sequence[EndpointSlice]]:
    """Return the slices of IPv4 addresses by the key of their service."""
    found: dict[Key, list[EndpointSlice]] = {}
    for each in slices:
        if each.addressType == _IPV4:
            found.setdefault(service_of(each), []).append(each)
    return found


def routes(
    services: Iterable[Service], slices: Iterable[EndpointSlice], machines: Iterable[MicroVM]
) -> list[Route]:
    """Return all routes, in a deterministic order.

    Args:
        services: All Services.
        slices: All EndpointSlices.
        machines: All MicroVMs; each is a node.
    """
    local = {key_of(each): each for each in services if is_local(each)}
    if not local:
        return []
    nodes = dict(_nodes(machines))
    of_service = slices_by_service(slices)
    found = [
        route
        for key, service in local.items()
        for route in _routes(service, of_service.get(key, ()), nodes)
    ]
    return sorted(found, key=lambda each: (each.service, each.protocol, each.port, each.targets))


def _nodes(machines: Iterable[MicroVM]) -> Iterator[tuple[str, frozenset[IPv4Address]]]:
    """Yield each node's name with the addresses its pods may have."""
    for machine in machines:
        address = pod_address(machine)
        if address is None or machine.status is None:
            continue
        if not machine.is_worker_node:
            yield machine.status.nodeName, frozenset({address})
            continue
        try:
            block = IPv4Network(machine.spec.podCIDR)
        except ValueError:
            continue
        yield machine.status.nodeName, frozenset(block.hosts())


def _routes(
    service: Service,
    slices: Iterable[EndpointSlice],
    nodes: Mapping[str, frozenset[IPv4Address]],
) -> Iterator[Route]:
    spec = service.spec
    address = parse_address(spec.clusterIP if spec else None)
    if spec is None or address is None:
        return
    offered = {(protocol_of(each), each.name or ""): each.port for each in spec.ports or ()}
    ready: _Found = {}
    ending: _Found = {}
    for each in slices:
        for endpoint in each.endpoints or ():
            into = _into(endpoint, ready, ending)
            addresses = nodes.get(endpoint.nodeName or "", frozenset[IPv4Address]())
            where = parse_address(next(iter(endpoint.addresses), None))
            if into is None or where not in addresses or where is None:
                continue
            for port in each.ports or ():
                name = protocol_of(port), port.name or ""
                if port.port is not None and name in offered:
                    into.setdefault((endpoint.nodeName or "", *name), set()).add((where, port.port))
    for (node, protocol, name), targets in {**ending, **ready}.items():
        yield Route(
            callers=nodes[node],
            service=address,
            protocol=protocol,
            port=offered[protocol, name],
            targets=tuple(sorted(targets)),
            sticky=spec.sessionAffinity == _TO_THE_SAME,
        )


def _into(endpoint: Endpoint, ready: _Found, ending: _Found) -> _Found | None:
    """Choose by an endpoint's state: terminating ones serve if none is ready, as in kube-proxy."""
    conditions = endpoint.conditions
    if conditions is None or conditions.ready is not False:
        return ready
    return ending if conditions.serving and conditions.terminating else None
