"""What one object asks of a load balancer, apart from whose pods take the traffic at the moment.

A part is derived from its object, and stays what it is while the object is edited into what cannot
be done.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import Final

from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.balancing.model import Action, NetworkListener, Rule, Scheme, TargetGroup
from monopod.balancing.targets import targets

Slices = Callable[[str], Sequence[EndpointSlice]]
"""Looks up the slices of a service by its key."""


@dataclass(frozen=True, slots=True)
class NetworkPart:
    """What a Service asks for: a load balancer of its own."""

    scheme: Scheme
    listeners: tuple[NetworkListener, ...]
    groups: tuple[TargetGroup, ...]
    """Without targets."""


@dataclass(frozen=True, slots=True)
class HttpPart:
    """What an Ingress asks for: a part of a load balancer that it may share."""

    group: str = ""
    """The name of those it shares with; empty: it is alone."""
    order: int = 0
    scheme: Scheme | None = None
    ports: Mapping[int, bool] = field(default_factory=dict[int, bool])
    """Whether clients speak TLS, by port."""
    certificates: Mapping[str, str] = field(default_factory=dict[str, str])
    """Files by the keys of the Secrets that they come from."""
    redirect_to: int | None = None
    sources: tuple[IPv4Network, ...] = ()
    rules: tuple[Rule, ...] = ()
    default: Action | None = None
    groups: Mapping[str, TargetGroup] = field(default_factory=dict[str, TargetGroup])
    """Without targets, by name."""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Those of the load balancer that are named and served."""
    lowest_tls: str = ""
    """The lowest version of TLS that is wanted; empty if nothing is said."""


Part = NetworkPart | HttpPart
NOTHING: Final[Mapping[str, Part]] = {}


def with_targets(group: TargetGroup, slices: Slices) -> TargetGroup:
    """Return a target group with the addresses that serve its service's port now."""
    return replace(group, targets=targets(slices(group.service), group.port_name))
