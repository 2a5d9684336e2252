"""Copies the ConfigMaps of cluster-scoped injections into the namespaces of their pods.

A pod mounts ConfigMaps of its namespace only. The copies are owned by the injection, so that
they go with it, and have names and a label that no other ConfigMap should have: one that exists
without the label is not overwritten, which an admission policy enforces.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference
from lightkube.resources.core_v1 import ConfigMap

from monopod.api import keys
from monopod.api.metadata import name_of, uid_of
from monopod.api.sidecar_injections import ClusterSidecarInjection, ConfigMapCopies
from monopod.controllers.sidecars.report import Problem
from monopod.fargate.sidecars import copy_name, reference_of
from monopod.kube import Client, ForbiddenError, InvalidError, NotFoundError

MOST_BYTES: Final = 256 << 10
MOST_NAMESPACES: Final = 500
NOT_FOUND: Final = "ConfigMapNotFound"
TOO_LARGE: Final = "ConfigMapsTooLarge"
TOO_MANY: Final = "TooManyNamespaces"
NOT_WRITTEN: Final = "ConfigMapNotWritten"
COPYING: Final = "Copying"


@dataclass(frozen=True, slots=True)
class Originals:
    """The ConfigMaps to copy."""

    objects: tuple[ConfigMap, ...] = ()
    problem: Problem | None = None
    """Why they cannot be copied."""


async def read_originals(client: Client, copies: ConfigMapCopies) -> Originals:
    """Read the ConfigMaps to copy."""
    found: list[ConfigMap] = []
    for name in copies.names:
        try:
            found.append(await client.get(ConfigMap, name, copies.namespace))
        except NotFoundError:
            text = f"ConfigMap {copies.namespace}/{name}, which configMaps names, does not exist"
            return Originals(problem=Problem(NOT_FOUND, text))
    size = sum(len(msgspec.json.encode((each.data, each.binaryData))) for each in found)
    if size > MOST_BYTES:
        text = f"the ConfigMaps to copy have {size} bytes; at most {MOST_BYTES}"
        return Originals(problem=Problem(TOO_LARGE, text))
    return Originals(tuple(found))


def bounded(namespaces: Iterable[str]) -> tuple[list[str], Problem | None]:
    """Return the namespaces that get copies, and why others do not."""
    every = sorted(set(namespaces))
    if len(every) <= MOST_NAMESPACES:
        return every, None
    text = f"{len(every)} namespaces need copies of ConfigMaps; at most {MOST_NAMESPACES} get them"
    return every[:MOST_NAMESPACES], Problem(TOO_MANY, text)


async def write_copies(
    client: Client,
    injection: ClusterSidecarInjection,
    originals: Collection[ConfigMap],
    namespace: str,
) -> str | None:
    """Write the copies into a namespace; return what could not be written."""
    for original in originals:
        made = _copy(injection, original, namespace)
        try:
            await client.apply(made)
        except NotFoundError:
            # The namespace is gone, and its pods will be.
            return None
        except (ForbiddenError, InvalidError) as error:
            return f"{namespace}/{name_of(made)}: {error.message}"
    return None


async def delete_copies(
    client: Client, injection: ClusterSidecarInjection, names: Iterable[str], namespace: str
) -> None:
    """Delete an injection's copies of these ConfigMaps in a namespace."""
    for name in names:
        copied = copy_name(str(reference_of(injection)), name)
        try:
            await client.delete(ConfigMap, copied, namespace)
        except (NotFoundError, ForbiddenError):
            # Forbidden: it is not ours.
            continue


def _copy(injection: ClusterSidecarInjection, original: ConfigMap, namespace: str) -> ConfigMap:
    owner = OwnerReference(
        apiVersion=keys.API_VERSION,
        kind="ClusterSidecarInjection",
        name=name_of(injection),
        uid=uid_of(injection),
    )
    return ConfigMap(
        metadata=ObjectMeta(
            name=copy_name(str(reference_of(injection)), name_of(original)),
            namespace=namespace,
            labels={keys.SIDECAR_INJECTION: uid_of(injection)},
            ownerReferences=[owner],
        ),
        data=original.data,
        binaryData=original.binaryData,
    )
