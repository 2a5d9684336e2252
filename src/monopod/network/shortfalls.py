"""What a network policy asks for that the router cannot give, in words for whoever wrote it. Pure.

Nothing opens by it: what is asked for in vain allows less than its author meant, and never more.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network

from lightkube.models.networking_v1 import NetworkPolicyPeer
from lightkube.resources.networking_v1 import NetworkPolicy


def shortfall(policy: NetworkPolicy) -> str | None:
    """Say what of a policy is not honoured, and why; nothing if all of it is."""
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
        "Nobody is at the IPv6 blocks of this policy, which therefore allow nothing: the VPC is"
        f" IPv4 only. Not honoured: {', '.join(dict.fromkeys(blocks))}"
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
