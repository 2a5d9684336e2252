"""Bounds how many load balancers of one scheme a namespace has. Pure.

The addresses of each scheme are few and shared by all namespaces.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network

from monopod.controllers.loadbalancer.desired import (
    DesiredLoadBalancer,
    InvalidObject,
    shown_addresses,
)
from monopod.controllers.loadbalancer.model import Scheme
from monopod.kube import meta, namespace_of


def within_bound(
    wanted: Sequence[DesiredLoadBalancer], at_most: int, pool_of: Callable[[Scheme], IPv4Network]
) -> tuple[list[DesiredLoadBalancer], list[InvalidObject]]:
    """Return the load balancers that may have an address, and refusals of the others' owners.

    Those that have one keep it, also if a lower bound was set since; then the oldest come first. A
    load balancer that several namespaces share counts for that of its first member.
    """
    counts: Counter[tuple[str, Scheme]] = Counter()
    kept: set[str] = set()
    refused: list[InvalidObject] = []

    def has_address(each: DesiredLoadBalancer) -> bool:
        return any(shown_addresses(owner, pool_of(each.scheme)) for owner in each.owners)

    def place(each: DesiredLoadBalancer) -> tuple[bool, float, str]:
        created = [meta(owner).creationTimestamp for owner in each.owners]
        oldest = min((at.timestamp() for at in created if at is not None), default=0.0)
        return not has_address(each), oldest, each.name

    for each in sorted(wanted, key=place):
        namespace = namespace_of(each.owners[0])
        key = (namespace, each.scheme)
        if counts[key] < at_most or has_address(each):
            counts[key] += 1
            kept.add(each.name)
            continue
        why = (
            f"namespace {namespace} has {counts[key]} load balancers of scheme {each.scheme.value},"
            f" and may have {at_most} (MONOPOD_LOADBALANCER_PER_NAMESPACE)"
        )
        refused += [InvalidObject(owner, (why,)) for owner in each.owners]
    return [each for each in wanted if each.name in kept], refused
