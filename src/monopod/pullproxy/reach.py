"""Decides which addresses the proxy calls, beyond what its network namespace allows.

A registry's name comes from an execution role, so its address may be any outside the cluster. Where
a registry sends the proxy to - its token service, its store of blobs - comes from the registry: a
registry with a public address may name public addresses only.
"""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from monopod.node.net import addresses

NEVER: Final = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("224.0.0.0/3"),
    addresses.LINK_LOCAL,
    addresses.MANAGEMENT,
    addresses.TRANSITS,
    addresses.SERVICES,
)
"""Networks in which no registry is."""


def may_call(address: IPv4Address, *, public: bool, never: Sequence[IPv4Network] = NEVER) -> bool:
    """Whether the proxy may call an address.

    Args:
        address: The address.
        public: Whether only public addresses may be called.
        never: Networks that are never called.
    """
    return not any(address in network for network in never) and (address.is_global or not public)


async def resolve(host: str) -> list[IPv4Address]:
    """Return the addresses of a name, or an address itself.

    Raises:
        OSError: The name has none.
    """
    try:
        return [IPv4Address(host)]
    except ipaddress.AddressValueError:
        pass
    found = await asyncio.get_running_loop().getaddrinfo(
        host, None, family=socket.AF_INET, type=socket.SOCK_STREAM
    )
    return [IPv4Address(each[4][0]) for each in found]


class GuardedResolver(AbstractResolver):
    """Resolves names to addresses that may be called: the very ones that are then connected to."""

    def __init__(self, *, public: bool, never: Sequence[IPv4Network]) -> None:
        self._public = public
        self._never = never

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a name.

        Raises:
            OSError: It has no address, or none that may be called.
        """
        allowed = [
            address
            for address in await resolve(host)
            if may_call(address, public=self._public, never=self._never)
        ]
        if not allowed:
            raise OSError(errno.EACCES, "it has no address that the pull proxy may call")
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in allowed
        ]

    async def close(self) -> None:
        """Nothing is open."""
