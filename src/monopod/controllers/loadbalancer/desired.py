"""Desired load balancers before they have addresses, and messages to their owners."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from lightkube.resources.core_v1 import Service
from lightkube.resources.networking_v1 import Ingress

from monopod.controllers.loadbalancer.model import (
    HttpListener,
    NetworkListener,
    Scheme,
    TargetGroup,
)
from monopod.controllers.loadbalancer.parts import Part

Owner = Service | Ingress
Shown = tuple[tuple[str, str], ...]
"""Pairs of address and host name."""


@dataclass(frozen=True, slots=True)
class DesiredLoadBalancer:
    """The desired load balancer of one object or a group of objects."""

    name: str
    scheme: Scheme
    listeners: tuple[NetworkListener | HttpListener, ...]
    groups: tuple[TargetGroup, ...]
    owners: tuple[Owner, ...]
    """The objects whose status shows it."""
    parts: Mapping[str, Part]
    """What it serves of each owner, by uid: the current part, or the last-known-good one."""


@dataclass(frozen=True, slots=True)
class InvalidObject:
    """An invalid object and its faults."""

    owner: Owner
    faults: tuple[str, ...]

    @property
    def message(self) -> str:
        """All faults in one sentence, as AWS's controller reports them."""
        return f"Failed build model due to {'; '.join(self.faults)}"


@dataclass(frozen=True, slots=True)
class Hint:
    """A warning about an object without a load balancer."""

    owner: Owner
    reason: str
    message: str


@dataclass(slots=True)
class Request:
    """The desired load balancers, refusals and hints of all objects."""

    wanted: list[DesiredLoadBalancer] = field(default_factory=list[DesiredLoadBalancer])
    refusals: list[InvalidObject] = field(default_factory=list[InvalidObject])
    hints: list[Hint] = field(default_factory=list[Hint])


def balancer_name(*parts: str, unique: str) -> str:
    """Return a load balancer's name, in the form of AWS's controller.

    Args:
        parts: Readable parts; each is cut to eight characters.
        unique: A string that is unique to the load balancer.
    """
    short = [re.sub(r"[^a-z0-9]", "", part.lower())[:8] for part in parts]
    digest = hashlib.sha256(unique.encode()).hexdigest()[:10]
    return "-".join(["k8s", *filter(None, short), digest])


def shown(owner: Owner) -> Shown:
    """Return the load balancer addresses in an object's status."""
    balancer = owner.status.loadBalancer if owner.status else None
    found = (balancer.ingress if balancer else None) or []
    return tuple((each.ip or "", each.hostname or "") for each in found)


def shown_addresses(owner: Owner, pool: IPv4Network) -> list[IPv4Address]:
    """Return the addresses in an object's status that belong to a pool."""
    found: list[IPv4Address] = []
    for text, _ in shown(owner):
        try:
            address = IPv4Address(text)
        except ValueError:
            continue
        if address in pool:
            found.append(address)
    return found
