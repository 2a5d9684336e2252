"""Removes images from a registry by the distribution API."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
from yarl import URL

from monopod.build.images import wire
from monopod.build.images.errors import RegistryError
from monopod.build.images.stored import StoredImage

_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, sock_connect=10)
_ANNOTATION: Final = "monopod.dev/removed-tag"
_EMPTY: Final = b"{}"


class Remover:
    """Removes images from one registry. Every method is idempotent."""

    def __init__(self, session: aiohttp.ClientSession, registry: URL) -> None:
        self._session = session
        self._api = registry / "v2"

    async def remove(self, image: StoredImage) -> None:
        """Remove an image with all of its tags; its layers remain until garbage collection.

        Raises:
            RegistryError: The registry does not answer, or rejects the request.
        """
        await self._delete(image.repository, image.digest)

    async def untag(self, image: StoredImage, tag: str) -> None:
        """Remove one tag but not its image.

        The API deletes by digest only, so the tag is first moved to an empty image, which is then
        deleted.

        Raises:
            RegistryError: The registry does not answer, or rejects the request.
        """
        repository = image.repository
        manifest = wire.encode(
            {
                "schemaVersion": 2,
                "mediaType": wire.MANIFEST,
                "config": {
                    "mediaType": wire.CONFIG,
                    "digest": wire.digest(_EMPTY),
                    "size": len(_EMPTY),
                },
                "layers": [],
                "annotations": {_ANNOTATION: f"{tag} {secrets.token_hex(8)}"},
            }
        )
        await self._send_empty_blob(repository)
        url = self._api / repository / "manifests" / tag
        await self._ask("PUT", url, 201, data=manifest, media_type=wire.MANIFEST)
        await self._delete(repository, wire.digest(manifest))

    async def _send_empty_blob(self, repository: str) -> None:
        uploads = self._api / repository / "blobs" / "uploads" / ""
        place = await self._ask("POST", uploads, 202)
        await self._ask("PUT", place.update_query(digest=wire.digest(_EMPTY)), 201, data=_EMPTY)

    async def _delete(self, repository: str, digest: str) -> None:
        await self._ask("DELETE", self._api / repository / "manifests" / digest, 202, 404)

    async def _ask(
        self,
        method: str,
        url: URL,
        *expected: int,
        data: bytes | None = None,
        media_type: str = "application/octet-stream",
    ) -> URL:
        headers = {"Content-Type": media_type} if data is not None else {}
        try:
            async with self._session.request(method, url, data=data, headers=headers) as answer:
                said = (await answer.text(errors="replace")).strip()[:500]
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or "no answer"
            raise RegistryError(f"cannot reach the registry {url.origin()}: {reason}") from error
        if answer.status not in expected:
            outcome = f"{method} {url.path} returned {answer.status}: {said}"
            raise RegistryError(f"the registry rejects the request: {outcome}")
        return url.join(URL(answer.headers.get("Location", ""), encoded=True))


@asynccontextmanager
async def remover(registry_url: str, socket: Path) -> AsyncGenerator[Remover]:
    """Connect to a registry by its Unix socket."""
    connector = aiohttp.UnixConnector(str(socket))
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
        yield Remover(session, URL(registry_url))
