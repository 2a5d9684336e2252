"""The configuration that one object contributes to a load balancer, without current targets.

A part is derived from its object; the last valid one is used while the object is invalid.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.controllers.loadbalancer.model import (
    Action,
    NetworkListener,
    Rule,
    Scheme,
    TargetGroup,
)
from monopod.controllers.loadbalancer.targets import targets

Slices = Callable[[str], Sequence[EndpointSlice]]
"""Looks up a service's EndpointSlices by its key."""


@dataclass(frozen=True, slots=True)
class NetworkPart:
    """A Service's part: a whole load balancer."""

    scheme: Scheme
    listeners: tuple[NetworkListener, ...]
    groups: tuple[TargetGroup, ...]
    """Without targets."""


@dataclass(frozen=True, slots=True)
class HttpPart:
    """An Ingress's part of a load balancer, which it may share."""

    group: str = ""
    """The name of the group that shares the load balancer; empty means that it is not shared."""
    order: int = 0
    scheme: Scheme | None = None
    ports: Mapping[int, bool] = field(default_factory=dict[int, bool])
    """Whether clients use TLS, by port."""
    certificates: Mapping[str, str] = field(default_factory=dict[str, str])
    """Files, by the keys of their Secrets."""
    redirect_to: int | None = None
    sources: tuple[IPv4Network, ...] = ()
    rules: tuple[Rule, ...] = ()
    default: Action | None = None
    groups: Mapping[str, TargetGroup] = field(default_factory=dict[str, TargetGroup])
    """Without targets, by name."""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    """The load balancer's attributes that are set and supported."""
    lowest_tls: str = ""
    """The lowest version of TLS; empty means that none is set."""


Part = NetworkPart | HttpPart


def with_targets(group: TargetGroup, slices: Slices) -> TargetGroup:
    """Return a target group with the current targets of its service's port."""
    return replace(group, targets=targets(slices(group.service), group.port_name))
