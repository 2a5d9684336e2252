"""Allocates load balancers' addresses. Pure.

Allocations are stored in the status of the load balancer's owners. An allocated address is stable;
of two claims to the same one, the first by name keeps it and the second gets another.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True, slots=True)
class Claim:
    """A load balancer that needs an address."""

    pool: IPv4Network
    """The pool to allocate from; its first and last addresses are reserved."""
    had: IPv4Address | None = None
    """The address in its owners' status; None means that there is none."""


def assign(claims: Mapping[str, Claim]) -> dict[str, IPv4Address | None]:
    """Return each name's address; None means that the pool is exhausted."""
    given: dict[str, IPv4Address | None] = {}
    taken: set[IPv4Address] = set()
    for name, claim in sorted(claims.items()):
        if claim.had is not None and claim.had not in taken and _usable(claim.pool, claim.had):
            given[name] = claim.had
            taken.add(claim.had)
    for name, claim in sorted(claims.items()):
        if name not in given:
            given[name] = _free(claim.pool, taken, name)
            taken |= {each for each in (given[name],) if each is not None}
    return given


def _usable(pool: IPv4Network, address: IPv4Address) -> bool:
    return pool.network_address < address < pool.broadcast_address


def _free(pool: IPv4Network, taken: set[IPv4Address], name: str) -> IPv4Address | None:
    """Return the first free address from a start that is derived from the name."""
    size = pool.num_addresses - 2
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % size
    for step in range(size):
        address = pool.network_address + 1 + (start + step) % size
        if address not in taken:
            return address
    return None
