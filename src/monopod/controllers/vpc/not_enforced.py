"""Describes the parts of a network policy that are not enforced, for its author. Pure.

Such parts allow less than intended, never more.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network

from lightkube.models.networking_v1 import NetworkPolicyPeer
from lightkube.resources.networking_v1 import NetworkPolicy


def not_enforced(policy: NetworkPolicy) -> str | None:
    """Describe what of a policy is not enforced, and why. None means it is fully enforced."""
    spec = policy.spec
    if spec is None:
        return None
    blocks = [
        *(f"from {each}" for rule in spec.ingress or () for each in _blocks(rule.from_ or ())),
        *(f"to {each}" for rule in spec.egress or () for each in _blocks(rule.to or ())),
    ]
    if not blocks:
        return None
    return (
        "Pods on machines have IPv4 addresses only, so for them this policy's IPv6 blocks match no"
        f" address and allow nothing. Not enforced: {', '.join(dict.fromkeys(blocks))}"
    )


def _blocks(peers: Iterable[NetworkPolicyPeer]) -> Iterator[str]:
    for peer in peers:
        if peer.ipBlock is not None and _is_ipv6(peer.ipBlock.cidr):
            yield peer.ipBlock.cidr


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Network(text, strict=False)
    except ValueError:
        return False
    return True
