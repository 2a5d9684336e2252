"""Compiles NetworkPolicies (networking.k8s.io/v1) to filters. Pure.

A policy's rules are about pods and filters about addresses, so selectors and named ports are
resolved here: for ingress by the port names of the selected pod, for egress by those of the peer.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Final

import msgspec
from lightkube.models.meta_v1 import LabelSelector
from lightkube.models.networking_v1 import (
    IPBlock,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
)
from lightkube.resources.networking_v1 import NetworkPolicy

from monopod.controllers.vpc.filters import Allowance, Filter, Ports, protocol_of
from monopod.kube import Key, key_of, namespace_of
from monopod.kube.selectors import selects

_INGRESS: Final = "Ingress"
_EGRESS: Final = "Egress"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running pod, as policies see it."""

    namespace: str
    labels: Mapping[str, str]
    addresses: frozenset[IPv4Address]
    ports: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """Container port numbers by protocol, in lower case, and name."""

    @property
    def networks(self) -> Iterable[IPv4Network]:
        """Its addresses, each as a /32."""
        return map(IPv4Network, self.addresses)


@dataclass(frozen=True, slots=True)
class Pods:
    """All pods, and the labels of all namespaces by name."""

    endpoints: Sequence[Endpoint]
    namespaces: Mapping[str, Mapping[str, str]]
    found: dict[bytes, frozenset[IPv4Network]] = field(
        default_factory=dict[bytes, frozenset[IPv4Network]], compare=False, repr=False
    )
    """Cache of resolved peers by their encoding; policies often repeat each other."""
    nodes: frozenset[IPv4Address] = frozenset()
    """Worker nodes' addresses: all ingress is allowed, because no policy applies to host network;
    no egress, because nodes call from other addresses."""


def filters(policies: Iterable[NetworkPolicy], pods: Pods) -> list[Filter]:
    """Return the filters that enforce these policies. IPv6 blocks match no address.

    Pods that no policy selects get an allow-all filter: an address in no filter belongs to no pod.
    """
    pods = Pods(_alike(pods.endpoints), pods.namespaces, nodes=pods.nodes)
    limiting = [each for policy in policies for each in _filters(policy, pods)]
    taking = {address for each in limiting if each.ingress is not None for address in each.governs}
    opening = {address for each in limiting if each.egress is not None for address in each.governs}
    known = frozenset(address for each in pods.endpoints for address in each.addresses)
    everything = (Allowance(),)
    return [
        *limiting,
        Filter("ingress unlimited", (known | pods.nodes) - taking, everything, None),
        Filter("egress unlimited", known - opening, None, everything),
    ]


def governing(found: Iterable[Filter], addresses: Set[IPv4Address]) -> frozenset[Key]:
    """Return the keys of the policies that apply to one of these addresses.

    Args:
        found: The filters of policies.
        addresses: Addresses of pods.
    """
    return frozenset(
        each.policy for each in found if each.policy and not addresses.isdisjoint(each.governs)
    )


def _alike(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Merge pods with the same namespace, labels and ports, such as a Deployment's replicas."""
    found: dict[object, list[Endpoint]] = {}
    for each in endpoints:
        labels, ports = frozenset(each.labels.items()), frozenset(each.ports.items())
        found.setdefault((each.namespace, labels, ports), []).append(each)
    return [
        replace(same[0], addresses=frozenset().union(*(each.addresses for each in same)))
        for same in found.values()
    ]


def _filters(policy: NetworkPolicy, pods: Pods) -> Iterator[Filter]:
    """Yield one filter for each distinct resolution of a policy's named ports."""
    spec, own, key = policy.spec, namespace_of(policy), key_of(policy)
    if spec is None:
        return
    chosen = spec.podSelector or LabelSelector()
    kinds = spec.policyTypes or _default_kinds(spec)
    egress = tuple(_egress(spec, own, pods)) if _EGRESS in kinds else None
    rules = [
        (each.ports or (), _networks(each.from_ or (), own, pods)) for each in spec.ingress or ()
    ]
    alike: dict[tuple[Allowance, ...] | None, set[IPv4Address]] = {}
    for endpoint in pods.endpoints:
        if endpoint.namespace == own and selects(chosen, endpoint.labels):
            takes: tuple[Allowance, ...] | None = None
            if _INGRESS in kinds:
                takes = tuple(Allowance(peers, _ports(ports, endpoint)) for ports, peers in rules)
            alike.setdefault(takes, set()).update(endpoint.addresses)
    for number, (ingress, governed) in enumerate(alike.items()):
        name = f"{key} {number}"
        yield Filter(name, frozenset(governed), ingress, egress, policy=key)


def _default_kinds(spec: NetworkPolicySpec) -> Sequence[str]:
    return (_INGRESS, _EGRESS) if spec.egress else (_INGRESS,)


def _egress(spec: NetworkPolicySpec, own: str, pods: Pods) -> Iterator[Allowance]:
    for rule in spec.egress or ():
        ports, to = rule.ports or (), rule.to or ()
        named = [each for each in ports if isinstance(each.port, str)]
        numbered = [each for each in ports if not isinstance(each.port, str)]
        if numbered or not ports:
            yield Allowance(_networks(to, own, pods), _ports(numbered, None))
        for each in named:
            yield from _egress_by_name(each, to, own, pods)


def _egress_by_name(
    port: NetworkPolicyPort, to: Sequence[NetworkPolicyPeer], own: str, pods: Pods
) -> Iterator[Allowance]:
    protocol, name = protocol_of(port), str(port.port)
    found: dict[int, set[IPv4Network]] = {}
    for endpoint in pods.endpoints:
        number = endpoint.ports.get((protocol, name))
        if number is None:
            continue
        if not to:
            found.setdefault(number, set()).update(endpoint.networks)
            continue
        reached = found.setdefault(number, set())
        for peer in to:
            if peer.ipBlock is not None:
                inside = _block(peer.ipBlock)
                reached.update(
                    each for each in endpoint.networks if any(map(each.subnet_of, inside))
                )
            elif _is_peer(peer, endpoint, own, pods):
                reached.update(endpoint.networks)
    for number, networks in sorted(found.items()):
        yield Allowance(frozenset(networks), (Ports(protocol, number),))


def _networks(
    peers: Sequence[NetworkPolicyPeer], own: str, pods: Pods
) -> frozenset[IPv4Network] | None:
    """Return the networks of some peers. None means no peers are given, hence any address."""
    if not peers:
        return None
    key = msgspec.json.encode([own, peers])
    known = pods.found.get(key)
    if known is None:
        known = pods.found[key] = _resolve(peers, own, pods)
    return known


def _resolve(peers: Sequence[NetworkPolicyPeer], own: str, pods: Pods) -> frozenset[IPv4Network]:
    found: set[IPv4Network] = set()
    for peer in peers:
        if peer.ipBlock is not None:
            found.update(_block(peer.ipBlock))
            continue
        for endpoint in pods.endpoints:
            if _is_peer(peer, endpoint, own, pods):
                found.update(endpoint.networks)
    return frozenset(collapse_addresses(found))


def _is_peer(peer: NetworkPolicyPeer, endpoint: Endpoint, own: str, pods: Pods) -> bool:
    if peer.namespaceSelector is None:
        if endpoint.namespace != own:
            return False
    elif endpoint.namespace not in pods.namespaces or not selects(
        peer.namespaceSelector, pods.namespaces[endpoint.namespace]
    ):
        return False
    return peer.podSelector is None or selects(peer.podSelector, endpoint.labels)


def _block(block: IPBlock) -> list[IPv4Network]:
    """Return a block without its exceptions."""
    left = [each for each in (_network(block.cidr),) if each is not None]
    for text in block.except_ or ():
        hole = _network(text)
        if hole is not None:
            left = [part for each in left for part in _without(each, hole)]
    return left


def _without(network: IPv4Network, hole: IPv4Network) -> Iterable[IPv4Network]:
    if network.subnet_of(hole):
        return ()
    return network.address_exclude(hole) if hole.subnet_of(network) else (network,)


def _network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None


def _ports(
    ports: Sequence[NetworkPolicyPort], endpoint: Endpoint | None
) -> tuple[Ports, ...] | None:
    """Return ports, with names resolved by an endpoint. None means none are given, hence all."""
    if not ports:
        return None
    found: list[Ports] = []
    for each in ports:
        protocol, port = protocol_of(each), each.port
        if port is None:
            found.append(Ports(protocol))
        elif isinstance(port, int):
            found.append(Ports(protocol, port, each.endPort))
        elif endpoint is not None and (protocol, port) in endpoint.ports:
            found.append(Ports(protocol, endpoint.ports[protocol, port]))
    return tuple(found)
