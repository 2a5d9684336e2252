"""An HTTPS server as one coroutine, with an event that is set while it accepts connections."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

_GRACE_S: Final = 5.0
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers every request, regardless of method and path."""


class HttpsServer:
    """Serves HTTPS on one address and port."""

    def __init__(
        self,
        served: web.Application | Handler,
        address: str,
        port: int,
        context: ssl.SSLContext,
    ) -> None:
        """Describe a server; :meth:`run` starts it.

        Args:
            served: An application with routes, or one handler for every request.
            address: The address to listen on.
            port: The port to listen on.
            context: TLS context with the server's certificate.
        """
        self.listening = asyncio.Event()
        self._served = served
        self._address = address
        self._port = port
        self._context = context

    async def run(self) -> None:
        """Serve until cancelled; requests in progress then have 5 s to finish.

        Raises:
            OSError: The address cannot be bound.
        """
        runner = self._runner()
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._address, self._port, ssl_context=self._context)
            await site.start()
            self.listening.set()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    def _runner(self) -> web.AppRunner | web.ServerRunner:
        if isinstance(self._served, web.Application):
            return web.AppRunner(self._served, access_log=None, shutdown_timeout=_GRACE_S)
        server = web.Server(self._served, access_log=None)
        return web.ServerRunner(server, shutdown_timeout=_GRACE_S)
