"""What objects ask for, before it has addresses, and what there is to say to their owners."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from lightkube.resources.core_v1 import Service
from lightkube.resources.networking_v1 import Ingress

from monopod.balancing.model import HttpListener, NetworkListener, Scheme, TargetGroup
from monopod.balancing.parts import NOTHING, Part

Owner = Service | Ingress
Shown = tuple[tuple[str, str], ...]
"""Addresses and host names."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A load balancer that one object, or a group of objects, asks for."""

    name: str
    scheme: Scheme
    listeners: tuple[NetworkListener | HttpListener, ...]
    groups: tuple[TargetGroup, ...]
    owners: tuple[Owner, ...]
    """The objects whose status shows it."""
    parts: Mapping[str, Part] = field(default_factory=lambda: NOTHING)
    """What those of them ask for that get what they ask for, by their uids."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that asks for what it cannot get."""

    owner: Owner
    faults: tuple[str, ...]

    @property
    def message(self) -> str:
        """Everything that is wrong, in one sentence."""
        return f"Failed build model due to {'; '.join(self.faults)}"


@dataclass(frozen=True, slots=True)
class Hint:
    """A warning about an object that is no load balancer's owner."""

    owner: Owner
    reason: str
    message: str


@dataclass(slots=True)
class Asked:
    """All that a cluster's objects ask for."""

    wanted: list[Wanted] = field(default_factory=list[Wanted])
    refusals: list[Refusal] = field(default_factory=list[Refusal])
    hints: list[Hint] = field(default_factory=list[Hint])


def balancer_name(*parts: str, unique: str) -> str:
    """Return a load balancer's name, in the shape that AWS's controller gives them.

    Args:
        parts: What people know it by; each is cut to eight characters.
        unique: What tells it from all others.
    """
    short = [re.sub(r"[^a-z0-9]", "", part.lower())[:8] for part in parts]
    digest = hashlib.sha256(unique.encode()).hexdigest()[:10]
    return "-".join(["k8s", *filter(None, short), digest])


def shown(owner: Owner) -> Shown:
    """Return where an object's status says that its load balancer is."""
    balancer = owner.status.loadBalancer if owner.status else None
    found = (balancer.ingress if balancer else None) or []
    return tuple((each.ip or "", each.hostname or "") for each in found)


def shown_addresses(owner: Owner, pool: IPv4Network) -> list[IPv4Address]:
    """Return the addresses of a pool that an object's status shows."""
    found: list[IPv4Address] = []
    for text, _ in shown(owner):
        try:
            address = IPv4Address(text)
        except ValueError:
            continue
        if address in pool:
            found.append(address)
    return found
