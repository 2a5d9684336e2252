"""Pushes an image archive to a registry by the distribution API, without Docker."""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Final

from monopod.build.images import exclusion
from monopod.build.images.archive import Archive, Blob, Image, open_archive
from monopod.build.images.registry import RegistryClient, authority, registry_client
from monopod.util.progress import Progress, Report, ignore

_TASK: Final = "image"
_CHUNK_BYTES: Final = 1 << 20


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
        RegistryError: The registry does not answer, or rejects the image; or the directory of its
            socket cannot be opened.
    """
    with open_archive(archive) as opened:
        report(Progress(_TASK, f"checking {archive.name}"))
        image = await asyncio.to_thread(opened.image, name)
        headers = {"Authorization": authorization} if authorization else {}
        async with (
            nullcontext() if socket is None else exclusion.pushing(socket, report),
            registry_client(registry_url, socket=socket, context=ssl, headers=headers) as registry,
        ):
            await _Push(registry, opened, image, report).run()
    return f"{authority(registry.url)}/{image.name}"


class _Push:
    """The push of one image to one registry."""

    def __init__(
        self, registry: RegistryClient, archive: Archive, image: Image, report: Report
    ) -> None:
        self._registry = registry
        self._repository = image.name.repository
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
        url = self._registry.path(self._repository, "blobs", blob.digest)
        return (await self._registry.request("HEAD", url, 200, 404)).status_code == 200

    async def _send(self, blob: Blob) -> None:
        place = await self._registry.start_upload(self._repository, blob.digest)
        with self._archive.open(blob) as content:
            chunks = self._chunks(content, f"sending {blob.digest[:19]}")
            await self._registry.request("PUT", place, 201, content=chunks, size=blob.size)

    async def _chunks(self, content: IO[bytes], detail: str) -> AsyncGenerator[bytes]:
        while chunk := await asyncio.to_thread(content.read, _CHUNK_BYTES):
            yield chunk
            self._count(len(chunk), detail)

    async def _send_manifest(self) -> None:
        await self._registry.request(
            "PUT",
            self._registry.path(self._repository, "manifests", self._image.name.tag),
            201,
            content=self._image.manifest,
            media_type=self._image.media_type,
        )

    def _count(self, size: int, detail: str) -> None:
        self._done += size
        detail = f"{self._image.name}: {detail}"
        self._report(Progress(_TASK, detail, self._done, self._total))
