"""Who may talk with whom, whatever asked for it: security groups and network policies alike. Pure.

Both say the same in two vocabularies: some addresses are governed, and a governed address takes
and opens only the connections that one of its filters allows. Answers pass with what they answer.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True, slots=True)
class Ports:
    """Some ports of one protocol, first and last included."""

    protocol: str
    """``tcp``, ``udp``, ``sctp`` or ``icmp``."""
    first: int | None = None
    """Nothing: every port, and of ``icmp`` every type."""
    last: int | None = None
    """Nothing: the first alone."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Connections that may be."""

    peers: frozenset[IPv4Network] | None = None
    """Where the other end is; nothing: anywhere. No network at all: nowhere."""
    ports: tuple[Ports, ...] | None = None
    """Nothing: every port of every protocol."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One security group or one network policy, with its selectors resolved to addresses."""

    name: str
    """Unlike every other filter's of the same kind; whatever an object may be named."""
    governs: frozenset[IPv4Address]
    """An address in several filters may do what any of them allows."""
    ingress: tuple[Allowance, ...] | None
    """What its addresses may take; nothing: this filter does not limit that."""
    egress: tuple[Allowance, ...] | None
    """What its addresses may open; nothing: this filter does not limit that."""
