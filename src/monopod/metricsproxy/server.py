"""The HTTP server: checks who asks, and passes a process's metrics on."""

import asyncio
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx2
import structlog
from aiohttp import web
from prometheus_client import Counter

from monopod.kube import KubeError
from monopod.metricsproxy.access import Access, ForbiddenError, UnauthenticatedError

PREFIX: Final = "/metrics/"
"""The path of a process's metrics is this and the process's name."""
_MOST_BYTES: Final = 64 << 20
_PASSED_ON: Final = ("Accept", "Accept-Encoding")
_RETURNED: Final = ("Content-Type", "Content-Encoding")
_UNKNOWN: Final = "-"
_REQUESTS: Final = Counter(
    "monopod_metricsproxy_requests_total",
    "Requests to the metrics proxy, by process and status code.",
    ["process", "code"],
)
_log: Final = structlog.get_logger("metricsproxy")


class Targets:
    """Reads the metrics of processes."""

    def __init__(
        self, urls: Mapping[str, str], timeout_s: float, certificate: tuple[Path, Path] | None
    ) -> None:
        """Describe the processes.

        Args:
            urls: URLs of their metrics, by name.
            timeout_s: Limit for one answer.
            certificate: Files of the client certificate for those that authenticate, and of its
                key; read at each call, as they are renewed.
        """
        self.urls = urls
        self._timeout_s = timeout_s
        self._certificate = certificate

    async def read(self, url: str, headers: Mapping[str, str]) -> web.Response:
        """Return a process's metrics; 502 and 504 say that it did not serve them."""
        try:
            # The client's own limits start again with every byte of an answer.
            async with (
                asyncio.timeout(self._timeout_s),
                httpx2.AsyncClient(
                    trust_env=False, timeout=self._timeout_s, verify=self._context(url)
                ) as http,
                http.stream("GET", url, headers=headers) as answer,
            ):
                if answer.status_code != HTTPStatus.OK:
                    return _say(HTTPStatus.BAD_GATEWAY, f"it answered {answer.status_code}")
                body = bytearray()
                async for part in answer.aiter_raw():
                    body += part
                    if len(body) > _MOST_BYTES:
                        return _say(HTTPStatus.BAD_GATEWAY, "its metrics are too large")
        except TimeoutError:
            return _say(HTTPStatus.GATEWAY_TIMEOUT, f"no answer within {self._timeout_s:g} s")
        except (httpx2.HTTPError, OSError) as error:
            return _say(HTTPStatus.BAD_GATEWAY, str(error) or type(error).__name__)
        returned = {name: answer.headers[name] for name in _RETURNED if name in answer.headers}
        return web.Response(body=bytes(body), headers=returned)

    def _context(self, url: str) -> ssl.SSLContext:
        # Upstream's processes sign their certificates themselves. They are on the loopback of the
        # control plane's namespace, and get no secret: a certificate's key is not sent.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if self._certificate is not None and url.startswith("https:"):
            context.load_cert_chain(*self._certificate)
        return context


class Server:
    """Handles HTTP requests."""

    def __init__(self, access: Access, targets: Targets, *, requests: int) -> None:
        """Describe a server.

        Args:
            access: Decides who may read.
            targets: The processes.
            requests: Concurrent requests; those beyond are answered with 503.
        """
        self._access = access
        self._targets = targets
        self._free = requests

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; every request gets a response."""
        name = request.path.removeprefix(PREFIX)
        known = request.path.startswith(PREFIX) and name in self._targets.urls
        answer = await self._bounded(request, self._targets.urls[name] if known else None)
        _REQUESTS.labels(name if known else _UNKNOWN, answer.status).inc()
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("metrics_not_served", process=name[:64], status=answer.status)
        return answer

    async def _bounded(self, request: web.BaseRequest, url: str | None) -> web.Response:
        if self._free == 0:
            return _say(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests at once")
        self._free -= 1
        try:
            return await self._answer(request, url)
        finally:
            self._free += 1

    async def _answer(self, request: web.BaseRequest, url: str | None) -> web.Response:
        try:
            await self._access.check(request.headers.get("Authorization"))
        except UnauthenticatedError as error:
            return _say(HTTPStatus.UNAUTHORIZED, str(error), {"WWW-Authenticate": "Bearer"})
        except ForbiddenError as error:
            return _say(HTTPStatus.FORBIDDEN, str(error))
        except KubeError as error:
            return _say(HTTPStatus.SERVICE_UNAVAILABLE, f"the API server: {error.message}")
        if request.method != "GET":
            return _say(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is served", {"Allow": "GET"})
        if url is None:
            names = ", ".join(sorted(self._targets.urls))
            return _say(HTTPStatus.NOT_FOUND, f"metrics are at {PREFIX}NAME, with one of: {names}")
        # The client's own default is one that this caller may not be able to decode.
        passed = {"Accept-Encoding": "identity"}
        passed |= {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        return await self._targets.read(url, passed)


def _say(status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=headers)
