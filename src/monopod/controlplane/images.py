"""Lists, removes and prunes the images in a running cluster's registry."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lightkube.models.core_v1 import ContainerStatus
from lightkube.resources.core_v1 import Pod

from monopod.api.constants import FINISHED_PHASES
from monopod.build.images import exclusion, stored, use
from monopod.build.images.remove import remover
from monopod.build.images.stored import StoredImage
from monopod.build.images.use import Use
from monopod.controlplane import access, disk, state
from monopod.controlplane.control_plane import supervisor
from monopod.controlplane.debian_services import REGISTRY_PUSH
from monopod.controlplane.errors import ClusterError
from monopod.controlplane.health import listens
from monopod.controlplane.layout import Layout
from monopod.kube import connect, meta
from monopod.settings import Settings
from monopod.util.progress import Progress, Report, ignore

_LISTENS_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.05
_TASK: Final = "image"
_USER_AGENT: Final = "monopod-image"


@dataclass(frozen=True, slots=True)
class Pruned:
    """The result of a removal."""

    names: tuple[str, ...]
    """The removed images: ``team/app:1``, or a repository with a digest."""
    freed_bytes: int
    """Freed on the registry's disk."""


async def listing(settings: Settings) -> tuple[tuple[StoredImage, ...], tuple[Use, ...]]:
    """Return every image in the registry, and the images that pods use.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: Its state cannot be read.
        KubeError: The API server request failed.
        RegistryError: The registry's files cannot be read.
    """
    registry = access.registry(settings)
    async with exclusion.pushing(registry.socket):
        return await _look(settings)


async def remove(
    settings: Settings, references: Sequence[str], *, force: bool = False, report: Report = ignore
) -> Pruned:
    """Remove images and the layers that only they use.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: Its state cannot be read, or the registry does not restart in time.
        KubeError: The API server request failed.
        ImageError: A reference matches no image, or one that pods use; then nothing is removed.
    """
    registry = access.registry(settings)
    layout = _layout(settings)
    async with exclusion.collecting(registry.socket, report):
        images, uses = await _look(settings)
        removals = use.plan(references, layout.registry, images, uses, force=force)
        in_use = {digest for each in uses for digest in each.digests}
        async with remover(registry.url, registry.socket) as remote:
            for each in removals:
                report(Progress(_TASK, f"removing {each.image.repository}"))
                if each.whole and (force or each.image.digest not in in_use):
                    await remote.remove(each.image)
                    continue
                for tag in each.tags:
                    await remote.untag(each.image, tag)
        names = tuple(
            name
            for each in removals
            for name in _names(each.image.repository, each.image.digest, each.tags)
        )
        return Pruned(names, await _collect(layout, report))


async def prune(settings: Settings, report: Report = ignore) -> Pruned:
    """Remove images without a tag that no pod uses, and layers that no image uses.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: Its state cannot be read, or the registry does not restart in time.
        KubeError: The API server request failed.
        ImageError: The registry cannot be read or refuses a removal.
    """
    registry = access.registry(settings)
    async with exclusion.collecting(registry.socket, report):
        images, uses = await _look(settings)
        in_use = {digest for each in uses for digest in each.digests}
        unneeded = stored.unneeded(images, in_use)
        async with remover(registry.url, registry.socket) as remote:
            for image in unneeded:
                report(Progress(_TASK, f"removing {image.repository}"))
                await remote.remove(image)
        names = tuple(name for each in unneeded for name in _names(each.repository, each.digest))
        return Pruned(names, await _collect(_layout(settings), report))


def uses_of(pods: Iterable[Pod], registry: str) -> tuple[Use, ...]:
    """Return the images of a registry that unfinished pods use; pods that use none are left out.

    Args:
        pods: All pods.
        registry: Host and port, as image references name it.
    """
    found = (
        use.use_of(f"{meta(pod).namespace}/{meta(pod).name}", registry, _references(pod))
        for pod in pods
        if (pod.status.phase if pod.status else None) not in FINISHED_PHASES
    )
    return tuple(each for each in found if each.tags or each.digests)


def _references(pod: Pod) -> list[str]:
    spec, status = pod.spec, pod.status
    found: list[str | None] = []
    if spec is not None:
        for containers in (spec.containers, spec.initContainers, spec.ephemeralContainers):
            found += [each.image for each in containers or ()]
    if status is not None:
        statuses: list[ContainerStatus] = [
            *(status.containerStatuses or ()),
            *(status.initContainerStatuses or ()),
            *(status.ephemeralContainerStatuses or ()),
        ]
        found += [each.imageID for each in statuses]
    return [each for each in found if each]


async def _look(settings: Settings) -> tuple[tuple[StoredImage, ...], tuple[Use, ...]]:
    layout = _layout(settings)
    images = await asyncio.to_thread(stored.read, layout.image_data)
    async with connect(layout.admin_kubeconfig, _USER_AGENT) as client:
        return images, uses_of((await client.list(Pod)).items, layout.registry)


async def _collect(layout: Layout, report: Report) -> int:
    """Restart the registry, which collects its garbage at start; return the bytes freed."""
    report(Progress(_TASK, "collecting layers that no image uses"))
    before = await asyncio.to_thread(disk.used, layout.image_data)
    await supervisor(layout).restart(REGISTRY_PUSH)
    deadline = time.monotonic() + _LISTENS_WITHIN_S
    while not await listens(layout.push_socket):
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{REGISTRY_PUSH} does not listen {_LISTENS_WITHIN_S:.0f} s after its restart:"
                f" see `monopod logs {REGISTRY_PUSH}`"
            )
        await asyncio.sleep(_POLL_S)
    freed = max(0, before - await asyncio.to_thread(disk.used, layout.image_data))
    report(Progress(_TASK, "done", 1, 1))
    return freed


def _names(repository: str, digest: str, tags: Sequence[str] = ()) -> tuple[str, ...]:
    return tuple(f"{repository}:{tag}" for tag in tags) or (f"{repository}@{digest}",)


def _layout(settings: Settings) -> Layout:
    return Layout.of(settings, state.require(settings.home).transit)
