"""Networks of which the router answers "unreachable" for every address without a route of its own.

Without them, packets to a pod or a machine that is gone would follow the default route out.
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
    """Add such a network; again is harmless."""
    await netlink.route("replace", dst=str(network), type=_UNREACHABLE)


async def stop_refusing(netlink: AsyncIPRoute, network: IPv4Network) -> None:
    """Remove one; again is harmless."""
    try:
        await netlink.route("del", dst=str(network), type=_UNREACHABLE)
    except NetlinkError as error:
        if error.code != errno.ESRCH:
            raise


async def refused(netlink: AsyncIPRoute) -> frozenset[IPv4Network]:
    """Which there are."""
    routes: Any = await netlink.route("dump", family=socket.AF_INET, type=_UNREACHABLE)
    return frozenset([IPv4Network((each.get("dst"), each["dst_len"])) async for each in routes])
