"""Objects that the network's controllers work from, and what their user may do."""

from contextlib import suppress
from typing import Any

from lightkube.core import resource as res

from monopod.api.resources import MicroVM
from monopod.controlplane import manifests
from monopod.kube import AlreadyExistsError, Client, ForbiddenError, NotFoundError, meta
from tests.apiserver import ApiServer
from tests.net.plane import apply

USER = "monopod:vpc"


class Objects:
    """Objects of one test, gone with it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made: list[tuple[type[res.Resource], str]] = []

    async def create(self, obj: Any) -> None:
        await self._client.create(obj)
        self._made.append((type(obj), meta(obj).name or ""))

    async def create_unless_there(self, obj: Any) -> None:
        with suppress(AlreadyExistsError):
            await self.create(obj)

    async def machine(self, made: MicroVM, management: str, pod: str) -> None:
        made.status = None
        await self.create(made)
        status = {"status": {"managementAddress": management, "podAddress": pod}}
        await self._client.patch(MicroVM, meta(made).name or "", status, subresource="status")

    async def delete(self, kind: type[res.Resource], name: str) -> None:
        # Forbidden: an admission policy protects groups with members, and no controller counts now.
        with suppress(NotFoundError, ForbiddenError):
            await self._client.delete(kind, name)

    async def remove(self) -> None:
        for kind, name in reversed(self._made):
            await self.delete(kind, name)


def allow(server: ApiServer) -> None:
    """Give the controller's user the rules it has in a cluster, and no more."""
    apply(server, *(each for each in manifests.read("rbac") if each["metadata"]["name"] == USER))
