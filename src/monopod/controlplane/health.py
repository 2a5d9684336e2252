"""Health probes into another network namespace, without a process in it.

A socket belongs permanently to the namespace it was created in. So one created while this thread
was inside can be used from outside, and reaches a health port on that namespace's loopback, which
need not be opened any further. aiohttp takes such a socket; httpx2, the client used elsewhere, does
not.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from monopod.node.net.errors import NetworkError
from monopod.node.net.namespaces import Namespace

_TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)


class Prober:
    """Probes health ports in one network namespace."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def healthy(self, url: str) -> bool:
        """Whether the URL answers 200."""
        try:
            async with self._http.get(url) as response:
                return response.status == 200
        except (aiohttp.ClientError, NetworkError, OSError, TimeoutError):
            return False


@asynccontextmanager
async def prober(namespace: str) -> AsyncGenerator[Prober]:
    """Open a prober; certificates are not verified, as only the status counts."""
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
    """Whether a process accepts connections on a Unix socket."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True
