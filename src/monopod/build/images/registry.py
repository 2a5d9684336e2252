"""Requests to a registry by the distribution API."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx2

from monopod.build.images import wire
from monopod.build.images.errors import RegistryError

_TIMEOUT: Final = httpx2.Timeout(60.0, connect=10.0)
"""Seconds without progress, after which the registry counts as unreachable."""
_SHOWN_CHARS: Final = 500


class RegistryClient:
    """A client of one registry."""

    def __init__(self, http: httpx2.AsyncClient, url: httpx2.URL) -> None:
        self._http = http
        self.url = url

    def path(self, repository: str, *parts: str) -> httpx2.URL:
        """Return the URL of a part of a repository."""
        return self.url.copy_with(path="/".join((self._prefix, "v2", repository, *parts)))

    async def request(
        self,
        method: str,
        url: httpx2.URL,
        *expected: int,
        content: bytes | AsyncIterable[bytes] | None = None,
        media_type: str = wire.BINARY,
        size: int | None = None,
    ) -> httpx2.Response:
        """Send a request and return the response.

        Args:
            method: The HTTP method.
            url: As :meth:`path` or :meth:`start_upload` returned it.
            expected: The status codes that mean success.
            content: The request's body.
            media_type: Its type.
            size: Its number of bytes, which a stream does not say.

        Raises:
            RegistryError: The registry does not answer, or with another status code.
        """
        headers = {} if content is None else {"Content-Type": media_type}
        if size is not None:
            headers["Content-Length"] = str(size)
        try:
            answer = await self._http.request(method, url, content=content, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            reason = str(error) or "no answer"
            raise RegistryError(f"cannot reach the registry {self.url}: {reason}") from error
        if answer.status_code not in expected:
            said = answer.text.strip()[:_SHOWN_CHARS]
            raise RegistryError(
                f"the registry {authority(self.url)} rejects the request: {method} {url.path}"
                f" returned {answer.status_code} {answer.reason_phrase}: {said}"
            )
        return answer

    async def start_upload(self, repository: str, digest: str) -> httpx2.URL:
        """Start the upload of a blob and return the URL to put its content to.

        Raises:
            RegistryError: As :meth:`request`.
        """
        answer = await self.request("POST", self.path(repository, "blobs", "uploads", ""), 202)
        place = answer.url.join(answer.headers.get("Location", ""))
        return place.copy_merge_params({"digest": digest})

    @property
    def _prefix(self) -> str:
        return self.url.path.rstrip("/")


def authority(url: httpx2.URL) -> str:
    """Return a URL's host and port, as image references have them."""
    return url.netloc.decode()


@asynccontextmanager
async def registry_client(
    url: str,
    *,
    socket: Path | None = None,
    context: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncGenerator[RegistryClient]:
    """Open a client.

    Args:
        url: URL of the registry: ``https://100.127.0.6:5000``.
        socket: A Unix socket of the registry, used instead of the URL's address.
        context: Trusted CA and client certificate; None means the system's CAs.
        headers: Headers of every request.
    """
    transport = httpx2.AsyncHTTPTransport(
        verify=True if context is None else context,
        uds=None if socket is None else str(socket),
        trust_env=False,
    )
    async with httpx2.AsyncClient(
        transport=transport, headers=headers, timeout=_TIMEOUT, trust_env=False
    ) as http:
        yield RegistryClient(http, httpx2.URL(url))
