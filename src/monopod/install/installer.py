"""Applies an installation to a cluster, waits until it works, and removes it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from lightkube.resources.apps_v1 import DaemonSet, Deployment
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Namespace, Pod

from monopod.api.resources import FargateProfile, MicroVM, Subnet, Vpc
from monopod.controlplane import objects
from monopod.install.accounts import Manifest
from monopod.install.errors import InstallError
from monopod.install.installation import Installation
from monopod.install.setup.check import pods_of
from monopod.kube import Client, KubeError, NotFoundError, meta, name_of
from monopod.node.provider.launcher_settings import NAMESPACE
from monopod.util.progress import Progress, Report, ignore

_POLL_S: Final = 0.5
_LISTED: Final = 5
_Unfinished = Callable[[], Awaitable[str]]
"""Returns what is not as it should be yet; empty if nothing is."""


async def install(
    client: Client,
    wanted: Installation,
    report: Report = ignore,
    *,
    within_s: float | None = 180.0,
) -> None:
    """Apply an installation. Idempotent.

    Args:
        client: As an administrator of the cluster.
        wanted: Its objects.
        report: Receives the progress.
        within_s: How long to wait until every process is ready; None means not at all.

    Raises:
        ClusterError: The API server rejected an object.
        InstallError: A process is not ready in time; the message names it and why.
    """
    steps = (
        ("definitions", wanted.definitions),
        ("namespaces", wanted.namespaces),
        ("accounts and workloads", [*wanted.accounts, *wanted.workloads, *wanted.devices]),
        ("admission", wanted.admission),
    )
    for number, (what, manifests) in enumerate(steps):
        report(Progress("installing", what, number, len(steps)))
        await objects.apply(client, manifests)
    report(Progress("installing", "applied", len(steps), len(steps)))
    if within_s is not None:
        await _until(
            lambda: _unready(client, [*wanted.workloads, *wanted.devices]), within_s, report
        )


async def uninstall(
    client: Client,
    known: Installation,
    report: Report = ignore,
    *,
    drain: bool = False,
    within_s: float = 180.0,
) -> None:
    """Remove an installation, its objects and everything it made. Idempotent.

    Refuses while machines run, unless ``drain`` is set: without controllers, their nodes and
    launcher pods would stay.

    Args:
        client: As an administrator of the cluster.
        known: The objects of the installation.
        report: Receives the progress.
        drain: Delete the pods of all profiles first, with their grace periods.
        within_s: How long to wait for pods, and for namespaces, to be gone.

    Raises:
        ClusterError: The API server refused.
        InstallError: Machines run, or are not gone in time.
    """
    if not drain and (pods := await _machines(client)):
        raise InstallError(
            f"{pods}. Move them to other nodes, or run this again with --drain, which deletes them"
        )
    report(Progress("removing", "profiles and their pods", 0, 3))
    for profile in await _list(client, FargateProfile):
        await _delete(client, FargateProfile, name_of(profile))
    # The controllers end them: they must run until then.
    await _until(lambda: _left(client), within_s, report)
    report(Progress("removing", "objects", 1, 3))
    # First what would otherwise be called, or refuse.
    await objects.remove(client, known.admission)
    for kind in (Subnet, Vpc):
        for each in await _list(client, kind):
            await _delete(client, kind, name_of(each))
    await objects.remove(client, [*known.devices, *known.workloads])
    await objects.remove(client, [*known.namespaces, *known.accounts])
    await objects.remove(client, known.definitions)
    report(Progress("removing", "namespaces", 2, 3))
    await _until(lambda: _namespaces(client, [*known.namespaces, *known.devices]), within_s, report)
    report(Progress("removing", "removed", 3, 3))


async def _until(unfinished: _Unfinished, within_s: float, report: Report) -> None:
    deadline = time.monotonic() + within_s
    while why := await unfinished():
        if time.monotonic() > deadline:
            raise InstallError(f"not finished after {within_s:.0f} s: {why}")
        report(Progress("waiting", why, 0, 1))
        await asyncio.sleep(_POLL_S)


async def _unready(client: Client, workloads: Sequence[Manifest]) -> str:
    """Return which process is not ready."""

    async def of(manifest: Manifest) -> str:
        metadata: dict[str, Any] = manifest["metadata"]
        name, namespace = metadata["name"], metadata.get("namespace", "")
        if manifest["kind"] == DaemonSet.__name__:
            on_nodes = await client.get(DaemonSet, name, namespace)
            return "" if _on_all_nodes(on_nodes) else f"DaemonSet {name} is not ready on all nodes"
        if manifest["kind"] == Deployment.__name__:
            found = await client.get(Deployment, name, namespace)
            return "" if _rolled_out(found) else f"Deployment {name} {await _why(client, name)}"
        if manifest["kind"] == Job.__name__:
            try:
                status = (await client.get(Job, name, namespace)).status
            except NotFoundError:
                # It succeeded some time ago.
                return ""
            done = status is not None and bool(status.succeeded)
            return "" if done else f"Job {name} did not succeed yet"
        return ""

    try:
        found = await asyncio.gather(*(of(each) for each in workloads))
    except KubeError as error:
        return str(error)
    return "; ".join(filter(None, found))


def _rolled_out(deployment: Deployment) -> bool:
    status = deployment.status
    if status is None:
        return False
    wanted = deployment.spec.replicas or 0
    return (
        status.observedGeneration == meta(deployment).generation
        and (status.updatedReplicas or 0) == wanted
        and (status.availableReplicas or 0) == wanted
        and (status.replicas or 0) == wanted
    )


def _on_all_nodes(daemons: DaemonSet) -> bool:
    status = daemons.status
    if status is None:
        return False
    wanted = status.desiredNumberScheduled
    return (
        status.observedGeneration == meta(daemons).generation
        and (status.updatedNumberScheduled or 0) == wanted
        and (status.numberAvailable or 0) == wanted
    )


async def _why(client: Client, deployment: str) -> str:
    """Return why a Deployment's pods are not ready, as far as they say."""
    process = deployment.removeprefix("monopod-")
    pods = await client.list(Pod, labels=f"app.kubernetes.io/component={process}")
    for pod in pods.items:
        for each in (pod.status.containerStatuses if pod.status else None) or ():
            waiting = each.state.waiting if each.state else None
            if waiting is not None:
                return f"is not ready: {waiting.reason}: {waiting.message or ''}"
        for condition in (pod.status.conditions if pod.status else None) or ():
            if condition.type == "PodScheduled" and condition.status != "True":
                return f"is not ready: {condition.message or condition.reason}"
    return "is not ready"


async def _machines(client: Client) -> str:
    pods = pods_of(await _list(client, MicroVM))
    if not pods:
        return ""
    rest = f" and {len(pods) - _LISTED} more" if len(pods) > _LISTED else ""
    return f"pods run on Fargate: {', '.join(pods[:_LISTED])}{rest}"


async def _left(client: Client) -> str:
    """Return which profiles, machines and launcher pods there still are."""
    profiles = sorted(name_of(each) for each in await _list(client, FargateProfile))
    if profiles:
        return f"profiles are being deleted: {', '.join(profiles)}"
    if machines := await _machines(client):
        return machines
    launchers = (await client.list(Pod, NAMESPACE)).items
    return f"launcher pods: {len(launchers)}" if launchers else ""


async def _namespaces(client: Client, manifests: Sequence[Manifest]) -> str:
    for each in manifests:
        if each["kind"] != Namespace.__name__:
            continue
        name: str = each["metadata"]["name"]
        try:
            await client.get(Namespace, name)
        except NotFoundError:
            continue
        return f"namespace {name} is being deleted"
    return ""


async def _list(client: Client, kind: type[Any]) -> Sequence[Any]:
    try:
        return (await client.list(kind)).items
    except NotFoundError:
        # Not even its definition is there.
        return ()


async def _delete(client: Client, kind: type[Any], name: str) -> None:
    try:
        await client.delete(kind, name)
    except NotFoundError:
        return
