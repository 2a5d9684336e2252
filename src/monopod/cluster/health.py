"""Asking processes in another network namespace how they are, without a process in there.

A socket belongs for good to the namespace it was made in. So one made while this thread was inside
can be used from outside, and a health port that listens on that namespace's loopback is reached
without being opened to anyone else.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from monopod.network.errors import NetworkError
from monopod.network.namespaces import Namespace

_TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)


class Prober:
    """Asks health ports in one network namespace."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def healthy(self, url: str) -> bool:
        """Whether something there answers 200."""
        try:
            async with self._http.get(url) as response:
                return response.status == 200
        except (aiohttp.ClientError, NetworkError, OSError, TimeoutError):
            return False


@asynccontextmanager
async def prober(namespace: str) -> AsyncGenerator[Prober]:
    """Open a prober; certificates are not looked at, as only "works or not" is asked."""
    inside = Namespace.named(namespace)

    def make_socket(address: Any) -> socket.socket:  # noqa: ANN401 - aiohttp hides the type
        family, kind, protocol, *_ = address
        return inside.call(lambda: socket.socket(family, kind, protocol))

    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    connector = aiohttp.TCPConnector(socket_factory=make_socket, ssl=unverified, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as http:
        yield Prober(http)


async def listens(path: Path) -> bool:
    """Whether something takes connections on a Unix socket."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True
