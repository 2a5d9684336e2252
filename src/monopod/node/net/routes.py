"""Unreachable routes: the router rejects packets to addresses without a more specific route.

Without them, packets to a pod or a machine that is gone would follow the default route.
"""

import errno
import socket
from ipaddress import IPv4Network
from typing import Any, Final

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

_UNREACHABLE: Final = 7
"""Route type RTN_UNREACHABLE."""


async def refuse(netlink: AsyncIPRoute, network: IPv4Network) -> None:
    """Add an unreachable route. Idempotent."""
    await netlink.route("replace", dst=str(network), type=_UNREACHABLE)


async def stop_refusing(netlink: AsyncIPRoute, network: IPv4Network) -> None:
    """Remove an unreachable route. Idempotent."""
    try:
        await netlink.route("del", dst=str(network), type=_UNREACHABLE)
    except NetlinkError as error:
        if error.code != errno.ESRCH:
            raise


async def refused(netlink: AsyncIPRoute) -> frozenset[IPv4Network]:
    """Return the networks that have an unreachable route."""
    routes: Any = await netlink.route("dump", family=socket.AF_INET, type=_UNREACHABLE)
    return frozenset([IPv4Network((each.get("dst"), each["dst_len"])) async for each in routes])
