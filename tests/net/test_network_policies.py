"""Network policies become filters that allow exactly what Kubernetes' semantics allow."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightkube.resources.networking_v1 import NetworkPolicy

from monopod.controllers.vpc.filters import Allowance, Filter
from monopod.controllers.vpc.network_policies import Endpoint, Pods, filters, governing
from monopod.kube import codec

pytestmark = pytest.mark.unit

_WORLD: Final = IPv4Address("203.0.113.9")
_NAMESPACES: Final = {
    "shop": {"team": "shop", "kubernetes.io/metadata.name": "shop"},
    "bank": {"team": "bank", "kubernetes.io/metadata.name": "bank"},
}


def _endpoint(
    namespace: str, address: str, ports: Mapping[str, int] | None = None, **labels: str
) -> Endpoint:
    named = {("tcp", name): number for name, number in (ports or {}).items()}
    return Endpoint(namespace, labels, frozenset({IPv4Address(address)}), named)


_WEB: Final = _endpoint("shop", "10.0.0.1", {"http": 8080}, app="web")
_OLD_WEB: Final = _endpoint("shop", "10.0.0.2", {"http": 80}, app="web")
_CLIENT: Final = _endpoint("shop", "10.0.0.3", app="client")
_BANK_CLIENT: Final = _endpoint("bank", "10.0.0.4", app="client")
_BANK_WEB: Final = _endpoint("bank", "10.0.0.5", {"http": 8080}, app="web")
_PODS: Final = Pods((_WEB, _OLD_WEB, _CLIENT, _BANK_CLIENT, _BANK_WEB), _NAMESPACES)


def policy(namespace: str, name: str = "policy", **spec: Any) -> NetworkPolicy:
    """A policy as the API server would send it."""
    return codec.decode(
        NetworkPolicy,
        msgspec.json.encode(
            {
                "metadata": {"namespace": namespace, "name": name},
                "spec": {"podSelector": {}, **spec},
            }
        ),
    )


def _passes(allowances: Sequence[Allowance], other: IPv4Address, protocol: str, port: int) -> bool:
    for each in allowances:
        inside = each.peers is None or any(other in network for network in each.peers)
        fits = each.ports is None or any(
            some.protocol == protocol
            and (some.first is None or some.first <= port <= (some.last or some.first))
            for some in each.ports
        )
        if inside and fits:
            return True
    return False


def _may(
    made: Sequence[Filter], source: IPv4Address, target: IPv4Address, protocol: str, port: int
) -> bool:
    """What the router does with a connection, by these filters."""
    out = [each.egress for each in made if source in each.governs and each.egress is not None]
    into = [each.ingress for each in made if target in each.governs and each.ingress is not None]
    return (not out or any(_passes(each, target, protocol, port) for each in out)) and (
        not into or any(_passes(each, source, protocol, port) for each in into)
    )


def _reach(
    policies: Sequence[NetworkPolicy],
    source: Endpoint | IPv4Address,
    target: Endpoint | IPv4Address,
    port: int = 8080,
    protocol: str = "tcp",
    *,
    pods: Pods = _PODS,
) -> bool:
    source_address, target_address = (
        next(iter(each.addresses)) if isinstance(each, Endpoint) else each
        for each in (source, target)
    )
    return _may(filters(policies, pods), source_address, target_address, protocol, port)


_DENY: Final[dict[str, Any]] = {"policyTypes": ["Ingress"]}
_DENY_OUT: Final[dict[str, Any]] = {"policyTypes": ["Egress"]}
_APP_CLIENT: Final = {"podSelector": {"matchLabels": {"app": "client"}}}
_BANK: Final = {"namespaceSelector": {"matchLabels": {"team": "bank"}}}


@pytest.mark.row("S17")
def test_without_policies_all_pods_reach_each_other() -> None:
    assert _reach([], _BANK_CLIENT, _WEB)
    known = {address for each in filters([], _PODS) for address in each.governs}
    assert known == {address for each in _PODS.endpoints for address in each.addresses}


@pytest.mark.row("S17")
def test_a_nodes_own_address_takes_anything_and_opens_nothing() -> None:
    node = IPv4Address("192.168.250.1")
    deny = policy("shop", policyTypes=["Ingress", "Egress"])
    found = filters([deny], replace(_PODS, nodes=frozenset({node})))
    governing = [each for each in found if node in each.governs]
    assert [(each.ingress, each.egress) for each in governing] == [((Allowance(),), None)]


@pytest.mark.row("S17")
def test_a_default_deny_of_ingress_isolates_its_namespace_alone() -> None:
    deny = policy("shop", **_DENY)
    assert not _reach([deny], _CLIENT, _WEB)
    assert not _reach([deny], _WORLD, _WEB)
    assert _reach([deny], _CLIENT, _BANK_WEB)
    assert _reach([deny], _WEB, _WORLD)


def test_a_default_deny_of_egress_lets_nothing_out_and_everything_in() -> None:
    deny = policy("shop", **_DENY_OUT)
    assert not _reach([deny], _CLIENT, _WORLD)
    assert not _reach([deny], _CLIENT, _BANK_WEB)
    assert _reach([deny], _BANK_CLIENT, _WEB)


@pytest.mark.parametrize(
    ("rules", "who"),
    [
        ([{}], {"client", "bank", "world"}),
        ([{"from": []}], {"client", "bank", "world"}),
        ([], set[str]()),
        ([{"from": [_APP_CLIENT]}], {"client"}),
        ([{"from": [_BANK]}], {"bank"}),
        ([{"from": [{"namespaceSelector": {}}]}], {"client", "bank"}),
        ([{"from": [{**_BANK, **_APP_CLIENT}]}], {"bank"}),
        ([{"from": [_BANK, _APP_CLIENT]}], {"client", "bank"}),
        ([{"from": [{**_BANK, "podSelector": {"matchLabels": {"app": "x"}}}]}], set[str]()),
        ([{"from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}], {"world"}),
        (
            [{"from": [{"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.8/30"]}}]}],
            set[str](),
        ),
        (
            [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.4/32"]}}]}],
            {"client", "world"},
        ),
        ([{"from": [{"ipBlock": {"cidr": "::/0"}}]}], set[str]()),
        ([{"from": [_APP_CLIENT]}, {"from": [_BANK]}], {"client", "bank"}),
        (
            [
                {
                    "from": [
                        {
                            "podSelector": {
                                "matchExpressions": [
                                    {"key": "app", "operator": "NotIn", "values": ["web"]}
                                ]
                            }
                        }
                    ]
                }
            ],
            {"client"},
        ),
        (
            [
                {
                    "from": [
                        {
                            "podSelector": {
                                "matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]
                            }
                        }
                    ]
                }
            ],
            set[str](),
        ),
    ],
)
def test_ingress_peers(rules: list[Any], who: set[str]) -> None:
    made = [policy("shop", ingress=rules)]
    callers = {"client": _CLIENT, "bank": _BANK_CLIENT, "world": _WORLD}
    assert {name for name, caller in callers.items() if _reach(made, caller, _WEB)} == who


@pytest.mark.parametrize(
    ("ports", "open_ones"),
    [
        ([], {("tcp", 80), ("tcp", 8080), ("tcp", 8090), ("udp", 53), ("sctp", 80)}),
        ([{"port": 8080}], {("tcp", 8080)}),
        ([{"protocol": "UDP"}], {("udp", 53)}),
        ([{"protocol": "SCTP", "port": 80}], {("sctp", 80)}),
        ([{"port": 8080, "endPort": 8090}], {("tcp", 8080), ("tcp", 8090)}),
        ([{"port": "http"}], {("tcp", 8080)}),
        ([{"port": "none"}], set[tuple[str, int]]()),
        ([{"port": 80}, {"protocol": "UDP", "port": 53}], {("tcp", 80), ("udp", 53)}),
    ],
)
def test_ingress_ports(ports: list[Any], open_ones: set[tuple[str, int]]) -> None:
    tried = {("tcp", 80), ("tcp", 8080), ("tcp", 8090), ("udp", 53), ("sctp", 80)}
    coming = [policy("shop", ingress=[{"ports": ports}])]
    going = [policy("shop", policyTypes=["Egress"], egress=[{"ports": ports}])]
    for made in (coming, going):
        found = {(how, port) for how, port in tried if _reach(made, _CLIENT, _WEB, port, how)}
        assert found == open_ones


def test_a_named_port_resolves_for_each_pod() -> None:
    for made in (
        [policy("shop", ingress=[{"ports": [{"port": "http"}]}])],
        [policy("shop", policyTypes=["Egress"], egress=[{"ports": [{"port": "http"}]}])],
    ):
        assert _reach(made, _CLIENT, _WEB, 8080)
        assert not _reach(made, _CLIENT, _WEB, 80)
        assert _reach(made, _CLIENT, _OLD_WEB, 80)
        assert not _reach(made, _CLIENT, _OLD_WEB, 8080)


def test_policies_add_up() -> None:
    deny = policy("shop", "deny", **_DENY)
    allow = policy(
        "shop", "allow", podSelector={"matchLabels": {"app": "web"}}, ingress=[{"from": [_BANK]}]
    )
    assert _reach([deny, allow], _BANK_CLIENT, _WEB)
    assert not _reach([deny, allow], _CLIENT, _WEB)
    assert not _reach([deny, allow], _BANK_CLIENT, _CLIENT)


def test_policies_govern_the_pods_that_they_select() -> None:
    policies = [
        policy("shop", "web", podSelector={"matchLabels": {"app": "web"}}),
        policy("shop", "client", podSelector={"matchLabels": {"app": "client"}}),
        policy("bank", "all"),
    ]
    found = filters(policies, _PODS)
    assert governing(found, _CLIENT.addresses) == {"shop/client"}
    assert governing(found, _WEB.addresses | _BANK_WEB.addresses) == {"shop/web", "bank/all"}
    assert governing(found, {_WORLD}) == frozenset()


def test_both_ends_have_to_allow() -> None:
    out = policy("bank", policyTypes=["Egress"], egress=[{"to": [{"namespaceSelector": {}}]}])
    into = policy("shop", ingress=[{"from": [_APP_CLIENT]}])
    assert not _reach([out, into], _BANK_CLIENT, _WEB)
    assert _reach([out], _BANK_CLIENT, _WEB)


def test_default_policy_types_follow_from_the_rules() -> None:
    made = [policy("shop", egress=[{"to": [{"namespaceSelector": {}}]}])]
    assert not _reach(made, _CLIENT, _WORLD)
    assert not _reach(made, _BANK_CLIENT, _WEB)


def test_the_resolver_is_a_pod_like_any_other() -> None:
    address = frozenset({IPv4Address("10.0.0.2")})
    resolver = Endpoint("kube-system", {"k8s-app": "kube-dns"}, address)
    pods = Pods((_CLIENT, resolver), {**_NAMESPACES, "kube-system": {"n": "kube-system"}})
    deny = policy("shop", **_DENY_OUT)
    names = {
        "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
        "ports": [{"protocol": "UDP", "port": 53}],
    }
    allow = policy("shop", "dns", policyTypes=["Egress"], egress=[names])
    assert not _reach([deny], _CLIENT, resolver, 53, "udp", pods=pods)
    assert _reach([deny, allow], _CLIENT, resolver, 53, "udp", pods=pods)
    assert not _reach([deny, allow], _CLIENT, resolver, 53, "tcp", pods=pods)


_labels = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["a", "b"]), max_size=2)
_selectors = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": _labels,
        "matchExpressions": st.lists(
            st.one_of(
                st.fixed_dictionaries(
                    {
                        "key": st.sampled_from(["app", "tier"]),
                        "operator": st.sampled_from(["In", "NotIn"]),
                        "values": st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2),
                    }
                ),
                st.fixed_dictionaries(
                    {
                        "key": st.sampled_from(["app", "tier"]),
                        "operator": st.sampled_from(["Exists", "DoesNotExist"]),
                    }
                ),
            ),
            max_size=1,
        ),
    },
)
_peers = st.one_of(
    st.fixed_dictionaries({"podSelector": _selectors}),
    st.fixed_dictionaries({"namespaceSelector": _selectors}),
    st.fixed_dictionaries({"namespaceSelector": _selectors, "podSelector": _selectors}),
    st.fixed_dictionaries(
        {
            "ipBlock": st.fixed_dictionaries(
                {"cidr": st.sampled_from(["10.0.0.0/30", "10.0.0.0/29", "0.0.0.0/0"])},
                optional={"except": st.just(["10.0.0.1/32"])},
            )
        }
    ),
)
_ports = st.fixed_dictionaries(
    {},
    optional={
        "protocol": st.sampled_from(["TCP", "UDP"]),
        "port": st.sampled_from([80, 81, "http"]),
    },
)


def _rules(of: str) -> st.SearchStrategy[list[Any]]:
    rule = st.fixed_dictionaries(
        {}, optional={of: st.lists(_peers, max_size=2), "ports": st.lists(_ports, max_size=2)}
    )
    return st.lists(rule, max_size=2)


_specs = st.fixed_dictionaries(
    {"podSelector": _selectors},
    optional={
        "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
        "ingress": _rules("from"),
        "egress": _rules("to"),
    },
)
_some_pods = st.lists(
    st.tuples(st.sampled_from(["shop", "bank"]), _labels, st.sampled_from([None, 80, 81])),
    min_size=2,
    max_size=5,
).map(
    lambda all_: [
        _endpoint(namespace, f"10.0.0.{number}", None if port is None else {"http": port}, **labels)
        for number, (namespace, labels, port) in enumerate(all_, 1)
    ]
)


def _selected(selector: dict[str, Any], labels: Mapping[str, str]) -> bool:
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for wish in selector.get("matchExpressions", []):
        there = wish["key"] in labels
        inside = labels.get(wish["key"]) in wish.get("values", [])
        if {"In": not inside, "NotIn": inside, "Exists": not there, "DoesNotExist": there}[
            wish["operator"]
        ]:
            return False
    return True


def _naively(
    specs: Sequence[tuple[str, dict[str, Any]]],
    source: Endpoint,
    target: Endpoint,
    how: str,
    port: int,
) -> bool:
    """The semantics again, asked of one connection."""

    def is_peer(peer: dict[str, Any], own: str, other: Endpoint) -> bool:
        address = next(iter(other.addresses))
        if block := peer.get("ipBlock"):
            return address in IPv4Network(block["cidr"]) and not any(
                address in IPv4Network(each) for each in block.get("except", [])
            )
        near = (
            _selected(peer["namespaceSelector"], _NAMESPACES[other.namespace])
            if "namespaceSelector" in peer
            else other.namespace == own
        )
        return near and _selected(peer.get("podSelector", {}), other.labels)

    def is_open(rule: dict[str, Any]) -> bool:
        ports = rule.get("ports", [])
        return not ports or any(
            each.get("protocol", "TCP").lower() == how
            and (
                "port" not in each
                or each["port"] == port
                or target.ports.get((how, each["port"])) == port
            )
            for each in ports
        )

    def passes(kind: str, rules: str, peers: str, whose: Endpoint, other: Endpoint) -> bool:
        found = [
            spec
            for namespace, spec in specs
            if namespace == whose.namespace
            and _selected(spec["podSelector"], whose.labels)
            and kind
            in spec.get("policyTypes", ["Ingress", *(["Egress"] if spec.get("egress") else [])])
        ]
        return not found or any(
            is_open(rule)
            and (
                not rule.get(peers)
                or any(is_peer(each, whose.namespace, other) for each in rule[peers])
            )
            for spec in found
            for rule in spec.get(rules, [])
        )

    return passes("Egress", "egress", "to", source, target) and passes(
        "Ingress", "ingress", "from", target, source
    )


@pytest.mark.row("S17")
@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["shop", "bank"]), _specs), max_size=3),
    _some_pods,
    st.sampled_from(["tcp", "udp"]),
    st.sampled_from([80, 81]),
)
def test_any_policies_allow_exactly_what_their_semantics_allow(
    specs: list[tuple[str, dict[str, Any]]], some: list[Endpoint], how: str, port: int
) -> None:
    pods = Pods(some, _NAMESPACES)
    made = [policy(where, f"p{number}", **spec) for number, (where, spec) in enumerate(specs)]
    for source in some:
        for target in some:
            if source is not target:
                expected = _naively(specs, source, target, how, port)
                assert _reach(made, source, target, port, how, pods=pods) == expected
