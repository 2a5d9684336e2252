"""The common model that security groups and network policies are compiled to. Pure.

Both govern some addresses; a governed address accepts and opens only the connections that at least
one of its filters allows. Filters are stateful: replies to allowed connections are allowed.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from monopod.kube import Key


class _HasProtocol(Protocol):
    @property
    def protocol(self) -> str | None: ...


def protocol_of(port: _HasProtocol) -> str:
    """Return the protocol of an object's port, in lower case; TCP unless it names one."""
    return (port.protocol or "TCP").lower()


@dataclass(frozen=True, slots=True)
class Ports:
    """A port range of one protocol, both ends included."""

    protocol: str
    """``tcp``, ``udp``, ``sctp`` or ``icmp``."""
    first: int | None = None
    """None means every port, and every type of ``icmp``."""
    last: int | None = None
    """None means ``first`` only."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Connections that a filter allows."""

    peers: frozenset[IPv4Network] | None = None
    """Networks of the other end. None means any address; an empty set means no address."""
    ports: tuple[Ports, ...] | None = None
    """None means every port of every protocol."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One security group or one network policy, with its selectors resolved to addresses."""

    name: str
    """Unique among filters of one kind; may contain any character of an object's name."""
    governs: frozenset[IPv4Address]
    """The addresses it applies to; several filters of one address are additive."""
    ingress: tuple[Allowance, ...] | None
    """Connections that its addresses may accept. None means ingress is not limited by it."""
    egress: tuple[Allowance, ...] | None
    """Connections that its addresses may open. None means egress is not limited by it."""
    machines: frozenset[IPv4Address] = frozenset()
    """Management addresses of its pods' machines: egress applies to them too, ingress does not."""
    policy: Key = ""
    """Key of the network policy that it is of; empty if of none."""
