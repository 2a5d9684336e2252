"""Answers machines' requests: who asks, what for, and then the registry's answer as a stream."""

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import aiohttp
import msgspec
import prometheus_client
import structlog
from aiohttp import web

from monopod.identity.pull_grant import PullGrant, PullGrants
from monopod.pullproxy.request import (
    PullRequest,
    RefusedError,
    denied,
    read_request,
    read_token,
)
from monopod.pullproxy.upstream import Upstream

_FORWARDED: Final = ("Accept", "Accept-Encoding", "Range", "If-Range")
_RETURNED: Final = (
    "Accept-Ranges",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Docker-Content-Digest",
    "ETag",
    "Last-Modified",
)
_PASSED: Final = frozenset((200, 206))
_PULLS: Final = prometheus_client.Counter(
    "monopod_pulls_total", "Requests to the pull proxy, by status code.", ["code"]
)
_BYTES: Final = prometheus_client.Counter(
    "monopod_pull_bytes_total", "Bytes of images passed to machines."
)
_log: Final = structlog.get_logger("pulls")


class Server:
    """Handles HTTP requests of machines."""

    def __init__(
        self, grants: PullGrants, upstream: Upstream, *, requests: int, stalled_s: float
    ) -> None:
        """Describe a server.

        Args:
            grants: What each machine may pull.
            upstream: An open client of registries.
            requests: Concurrent requests of one machine.
            stalled_s: Limit in seconds for a machine to take what it was sent.
        """
        self._grants = grants
        self._upstream = upstream
        self._requests = requests
        self._stalled_s = stalled_s
        self._active: Counter[str] = Counter()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; every request gets a response."""
        try:
            answer = await self._answer(request)
        except RefusedError as error:
            answer = _error(request, error)
        _PULLS.labels(str(answer.status)).inc()
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        grant = self._grants.admitted(read_token(request.headers), request.remote or "")
        if grant is None:
            _log.debug("pull_refused", address=request.remote)
            raise denied("the token is not of a machine with this address")
        if request.body_exists:
            raise RefusedError(400, "UNSUPPORTED", "the pull proxy takes no bodies")
        wanted = read_request(
            request.method, request.rel_url.raw_path, list(request.rel_url.query.items())
        )
        credential = grant.credential(wanted.registry, wanted.repository)
        if credential is None:
            raise denied(
                f"ExecutionRole {grant.role} has no credential for {wanted.name}, and the registry"
                " does not give it without one"
            )
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        # aiohttp's client would ask for encodings that the guest has not asked for.
        headers.setdefault("Accept-Encoding", "identity")
        with self._counted(grant):
            async with self._upstream.pull(
                request.method,
                wanted,
                credential,
                grant.authorities.get(wanted.registry, ""),
                headers,
            ) as found:
                if found.status not in _PASSED:
                    _log.info("pull_failed", status=found.status, **_fields(grant, wanted))
                    raise _failed(grant, wanted, found)
                if wanted.kind == "manifests":
                    _log.info("pull", **_fields(grant, wanted))
                return await self._pass_on(request, found)

    @contextmanager
    def _counted(self, grant: PullGrant) -> Generator[None]:
        if self._active[grant.machine] >= self._requests:
            raise RefusedError(
                429, "TOOMANYREQUESTS", f"{self._requests} requests of this machine are in progress"
            )
        self._active[grant.machine] += 1
        try:
            yield
        finally:
            self._active[grant.machine] -= 1
            if not self._active[grant.machine]:
                del self._active[grant.machine]

    async def _pass_on(
        self, request: web.BaseRequest, found: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        headers = {name: found.headers[name] for name in _RETURNED if name in found.headers}
        answer = web.StreamResponse(status=found.status, headers=headers)
        await answer.prepare(request)
        try:
            if request.method != "HEAD":
                async for part in found.content.iter_any():
                    async with asyncio.timeout(self._stalled_s):
                        await answer.write(part)
                    _BYTES.inc(len(part))
            async with asyncio.timeout(self._stalled_s):
                await answer.write_eof()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # The answer has begun, so only its early end can show the failure. The machine notices
            # it by the length or the chunks, and requests the rest.
            _log.info("pull_cut_off", address=request.remote, why=repr(error))
            if request.transport is not None:
                request.transport.abort()
        return answer


def _fields(grant: PullGrant, wanted: PullRequest) -> dict[str, str]:
    return {
        "machine": grant.machine,
        "role": grant.role,
        "repository": wanted.name,
        "reference": wanted.reference,
    }


def _failed(grant: PullGrant, wanted: PullRequest, found: aiohttp.ClientResponse) -> RefusedError:
    """Return the answer for a registry's answer that is no success."""
    said = f"{wanted.registry} answered {found.status} {found.reason}"
    match found.status:
        case 401 | 403:
            return denied(f"{said} to the credential of ExecutionRole {grant.role}")
        case 404:
            code = "MANIFEST_UNKNOWN" if wanted.kind == "manifests" else "BLOB_UNKNOWN"
            return RefusedError(404, code, said)
        case 416:
            return RefusedError(416, "SIZE_INVALID", said)
        case 429:
            return RefusedError(429, "TOOMANYREQUESTS", said)
        case _:
            return RefusedError(502, "UNAVAILABLE", said)


def _error(request: web.BaseRequest, error: RefusedError) -> web.Response:
    body = {"errors": [{"code": error.code, "message": str(error)}]}
    answer = web.Response(
        status=error.status, body=msgspec.json.encode(body), content_type="application/json"
    )
    if error.status >= 500:
        _log.warning("pull_failed", address=request.remote, why=str(error))
    if request.body_exists:
        answer.force_close()
    return answer
