"""Pushes an image archive to a registry by the distribution API, without Docker."""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Final

import aiohttp
from yarl import URL

from monopod.build.images import exclusion
from monopod.build.images.archive import Archive, Blob, Image, open_archive
from monopod.build.images.errors import PushError
from monopod.util.progress import Progress, Report, ignore

_TASK: Final = "image"
_CHUNK_BYTES: Final = 1 << 20
_SILENCE_S: Final = 60
"""Seconds without an answer after which the registry counts as unreachable."""


async def push(
    archive: Path,
    registry_url: str,
    *,
    name: str | None = None,
    socket: Path | None = None,
    ssl: tls.SSLContext | None = None,
    authorization: str | None = None,
    report: Report = ignore,
) -> str:
    """Push the image of an OCI or Docker archive, except for blobs that the registry has.

    Args:
        archive: The file, compressed or not.
        registry_url: URL of the registry: ``https://100.127.0.6:5000``.
        name: Name of the image; None means the name in the archive.
        socket: A Unix socket of the registry, used instead of the URL's address.
        ssl: Trusted CA and client certificate; None means the system's CAs.
        authorization: Value of the ``Authorization`` header.
        report: Receives progress, in bytes sent.

    Returns:
        The reference for pods: ``100.127.0.6:5000/monopod/demo:1``.

    Raises:
        ArchiveError: The file is no image archive, or is damaged.
        PushError: The registry does not answer, or rejects the image.
        RegistryError: The directory of its socket cannot be opened.
    """
    with open_archive(archive) as opened:
        report(Progress(_TASK, f"checking {archive.name}"))
        image = await asyncio.to_thread(opened.image, name)
        headers = {"Authorization": authorization} if authorization else {}
        registry = URL(registry_url)
        async with (
            nullcontext() if socket is None else exclusion.pushing(socket, report),
            aiohttp.ClientSession(
                headers=headers,
                connector=aiohttp.UnixConnector(str(socket))
                if socket is not None
                else aiohttp.TCPConnector(ssl=True if ssl is None else ssl),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_SILENCE_S),
            ) as session,
        ):
            try:
                await _Push(session, registry, opened, image, report).run()
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = str(error) or "no answer"
                raise PushError(f"cannot reach the registry {registry_url}: {reason}") from error
    return f"{registry.authority}/{image.name}"


class _Push:
    """The push of one image to one registry."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        registry: URL,
        archive: Archive,
        image: Image,
        report: Report,
    ) -> None:
        self._session = session
        self._api = registry / "v2" / image.name.repository
        self._archive = archive
        self._image = image
        self._report = report
        self._done = 0
        self._total = sum(blob.size for blob in image.blobs) + len(image.manifest)

    async def run(self) -> None:
        for blob in self._image.blobs:
            if await self._has(blob):
                self._count(blob.size, f"{blob.digest[:19]} exists already")
            else:
                await self._send(blob)
        await self._send_manifest()
        self._count(len(self._image.manifest), "in the registry")

    async def _has(self, blob: Blob) -> bool:
        async with self._session.head(self._api / "blobs" / blob.digest) as answer:
            if answer.status == 404:
                return False
            await _expect(answer, 200)
            return True

    async def _send(self, blob: Blob) -> None:
        async with self._session.post(self._api / "blobs" / "uploads" / "") as answer:
            await _expect(answer, 202)
            place = answer.url.join(URL(answer.headers["Location"], encoded=True))
        with self._archive.open(blob) as content:
            async with self._session.put(
                place.update_query(digest=blob.digest),
                data=self._chunks(content, f"sending {blob.digest[:19]}"),
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(blob.size),
                },
            ) as answer:
                await _expect(answer, 201)

    async def _chunks(self, content: IO[bytes], detail: str) -> AsyncGenerator[bytes]:
        while chunk := await asyncio.to_thread(content.read, _CHUNK_BYTES):
            yield chunk
            self._count(len(chunk), detail)

    async def _send_manifest(self) -> None:
        async with self._session.put(
            self._api / "manifests" / self._image.name.tag,
            data=self._image.manifest,
            headers={"Content-Type": self._image.media_type},
        ) as answer:
            await _expect(answer, 201)

    def _count(self, size: int, detail: str) -> None:
        self._done += size
        detail = f"{self._image.name}: {detail}"
        self._report(Progress(_TASK, detail, self._done, self._total))


async def _expect(answer: aiohttp.ClientResponse, status: int) -> None:
    if answer.status == status:
        return
    said = (await answer.text(errors="replace")).strip()[:500]
    what = f"{answer.method} {answer.url.path} returned {answer.status} {answer.reason}"
    raise PushError(f"the registry {answer.url.authority} rejects the push: {what}: {said}")
