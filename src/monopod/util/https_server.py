"""An HTTPS server as one coroutine, with an event that is set while it accepts connections."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

_GRACE_S: Final = 5.0
_FIRST_REQUEST_WITHIN_S: Final = 10.0
"""A client that sends its headers more slowly holds a connection that others need."""
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
        *,
        first_request_within_s: float = _FIRST_REQUEST_WITHIN_S,
    ) -> None:
        """Describe a server; :meth:`run` starts it.

        Args:
            served: An application with routes, or one handler for every request.
            address: The address to listen on.
            port: The port to listen on.
            context: TLS context with the server's certificate.
            first_request_within_s: Seconds from a connection to the headers of its first request;
                then it is closed. For a handler only.
        """
        self._first_request_within_s = first_request_within_s
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
        server = _Impatient(self._served, self._first_request_within_s)
        return web.ServerRunner(server, shutdown_timeout=_GRACE_S)


class _Impatient(web.Server):
    """Closes connections whose first request does not come."""

    def __init__(self, handler: Handler, first_request_within_s: float) -> None:
        super().__init__(self._handle, access_log=None)
        self._handler = handler
        self._within_s = first_request_within_s
        self._waiting: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        loop = asyncio.get_running_loop()
        self._waiting[handler] = loop.call_later(self._within_s, transport.abort)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        self._came(handler)
        super().connection_lost(handler, exc)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._came(request.protocol)
        return await self._handler(request)

    def _came(self, handler: asyncio.BaseProtocol) -> None:
        if timer := self._waiting.pop(handler, None):
            timer.cancel()
