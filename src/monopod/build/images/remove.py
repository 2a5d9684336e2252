"""Removes images from a registry by the distribution API."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from monopod.build.images import wire
from monopod.build.images.registry import RegistryClient, registry_client
from monopod.build.images.stored import StoredImage

_ANNOTATION: Final = "monopod.dev/removed-tag"
_EMPTY: Final = b"{}"


class Remover:
    """Removes images from one registry. Every method is idempotent."""

    def __init__(self, registry: RegistryClient) -> None:
        self._registry = registry

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
        place = await self._registry.start_upload(repository, wire.digest(_EMPTY))
        await self._registry.request("PUT", place, 201, content=_EMPTY)
        url = self._registry.path(repository, "manifests", tag)
        await self._registry.request("PUT", url, 201, content=manifest, media_type=wire.MANIFEST)
        await self._delete(repository, wire.digest(manifest))

    async def _delete(self, repository: str, digest: str) -> None:
        url = self._registry.path(repository, "manifests", digest)
        await self._registry.request("DELETE", url, 202, 404)


@asynccontextmanager
async def remover(registry_url: str, socket: Path) -> AsyncGenerator[Remover]:
    """Connect to a registry by its Unix socket."""
    async with registry_client(registry_url, socket=socket) as registry:
        yield Remover(registry)
