"""Rewrites the objects of custom resources whose stored version has changed.

A definition's ``status.storedVersions`` lists every version in which an object may lie in etcd. One
that is listed cannot be removed from the definition, so an upgrade that stores another version
writes each object once, and then says so there. Idempotent; it may be interrupted at any moment.
"""

import asyncio
import base64
import hashlib
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
from lightkube.core import resource as res
from lightkube.models import meta_v1
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition

from monopod.api.resource_info import CustomObject, resource_info
from monopod.controlplane.errors import ClusterError
from monopod.controlplane.manifests import Manifest
from monopod.kube import Client, ConflictError, NotFoundError

_log: Final = structlog.get_logger("stored-versions")


_STORED_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.1


class _Resource(msgspec.Struct):
    name: str
    storageVersionHash: str = ""  # noqa: N815


class _Discovery(msgspec.Struct):
    resources: list[_Resource]


class _Item(msgspec.Struct):
    metadata: meta_v1.ObjectMeta


async def migrate(client: Client, definitions: Sequence[Manifest]) -> int:
    """Store every object of these definitions in its stored version; return how many were written.

    Args:
        client: May change all of their objects, and the status of definitions.
        definitions: CustomResourceDefinitions that have been applied.
    """
    return sum([await _migrate(client, each) for each in definitions])


async def _migrate(client: Client, definition: Manifest) -> int:
    name = definition["metadata"]["name"]
    found = await client.get(CustomResourceDefinition, name)
    stored = list((found.status and found.status.storedVersions) or ())
    wanted = next(each.name for each in found.spec.versions if each.storage)
    if stored in ([], [wanted]):
        return 0
    kind = _kind(definition["spec"], wanted)
    await _until_stored(client, definition["spec"], wanted)
    items, _ = await client.list_raw(kind)
    for item in items:
        await _rewrite(client, kind, msgspec.json.decode(item, type=_Item).metadata)
    # All that is listed above is stored in the new version, and nothing was written in another
    # since: the definition's resource version shows that its stored version is still this one.
    patch: dict[str, Any] = {
        "metadata": {"resourceVersion": found.metadata and found.metadata.resourceVersion},
        "status": {"storedVersions": [wanted]},
    }
    await client.patch(CustomResourceDefinition, name, patch, subresource="status")
    _log.info("stored_version_migrated", definition=name, version=wanted, objects=len(items))
    return len(items)


async def _until_stored(client: Client, spec: Manifest, version: str) -> None:
    """Wait until the API server stores this version, which it announces in its discovery.

    Raises:
        ClusterError: It does not.
    """
    group, plural = spec["group"], spec["names"]["plural"]
    text = f"{group}/{version}/{spec['names']['kind']}".encode()
    wanted = base64.b64encode(hashlib.sha256(text).digest()[:8]).decode()
    deadline = time.monotonic() + _STORED_WITHIN_S
    while True:
        found = msgspec.json.decode(
            await client.raw(f"/apis/{group}/{version}"), type=_Discovery
        ).resources
        if any(each.name == plural and each.storageVersionHash == wanted for each in found):
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"{plural}.{group} are not stored as {version}: run it again")
        await asyncio.sleep(_POLL_S)


async def _rewrite(client: Client, kind: type[res.Resource], metadata: meta_v1.ObjectMeta) -> None:
    """Write an object unchanged: the API server encodes it in the stored version."""
    patch = {"metadata": {"uid": metadata.uid, "resourceVersion": metadata.resourceVersion}}
    try:
        await client.patch(kind, metadata.name or "", patch, metadata.namespace)
    except (NotFoundError, ConflictError):
        # It is gone, or another client wrote it meanwhile, in the stored version.
        return


def _kind(spec: Manifest, version: str) -> type[res.Resource]:
    names = spec["names"]
    info = resource_info(names["kind"], names["plural"], spec["group"], version)
    base = res.NamespacedResource if spec["scope"] == "Namespaced" else res.GlobalResource
    return type(names["kind"], (base, CustomObject), {"_api_info": info}, kw_only=True)
