"""The demo workload: three pods on three machines, and a timeline of their start."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod
from rich.table import Table

from monopod.api.conditions import is_true
from monopod.build.images import build_demo_image, push
from monopod.cli.screen import Screen
from monopod.controlplane import access, manifests, objects
from monopod.controlplane.control_plane import ControlPlane
from monopod.controlplane.errors import ClusterError
from monopod.explain import Snapshot, gather
from monopod.explain.phases import moments
from monopod.kube import Client, Informer, meta, name_of
from monopod.settings import Settings
from monopod.util import process
from monopod.util.progress import Progress, Report

_NAMESPACE: Final = "default"
_NAME: Final = "demo"
_REPLICAS: Final = 3
_READY_WITHIN_S: Final = 180.0
_TASK: Final = "demo"


@dataclass(frozen=True, slots=True)
class _Shown:
    """One pod of the demo, with its boot id as proof of a separate kernel."""

    snapshot: Snapshot
    boot_id: str


async def run(settings: Settings, plane: ControlPlane, screen: Screen) -> None:
    """Run the demo workload and show its pods and their timeline.

    Raises:
        ClusterError: The pods did not become ready in time; names those that did not.
        ImageError: Its image could not be built or pushed.
        KubeError: The API server rejected a request or was unreachable.
    """
    archive = await build_demo_image(settings, screen.report)
    registry = access.registry(settings)
    image = await push(archive, registry.url, socket=registry.socket, report=screen.report)
    async with plane.admin() as client:
        await objects.apply(client, manifests.read("demo", {"image": image}))
        names = await _wait_until_ready(client, screen.report)
        shown = await asyncio.gather(*(_look(settings, client, name) for name in names))
    screen.console.print()
    screen.console.print(_pods(shown))
    kernels = len({each.boot_id for each in shown})
    nodes = len({each.snapshot.bound_to for each in shown})
    screen.console.print(f"\n{len(shown)} pods, {nodes} nodes, {kernels} kernels. Their start:\n")
    screen.console.print(_phases(shown))


async def _wait_until_ready(client: Client, report: Report) -> list[str]:
    """Wait until the Deployment is rolled out and return the names of its pods."""
    deployments = Informer(
        client, Deployment, namespace=_NAMESPACE, fields=f"metadata.name={_NAME}"
    )
    changed = asyncio.Event()
    deployments.subscribe(lambda _: changed.set())
    watching = asyncio.create_task(deployments.run())
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            while True:
                await changed.wait()
                changed.clear()
                ready = sum(_new_and_ready(each) for each in deployments.items())
                report(Progress(_TASK, f"{ready} of {_REPLICAS} pods ready", ready, _REPLICAS))
                if ready == _REPLICAS:
                    break
    except TimeoutError as error:
        raise ClusterError(_late(await _pods_of(client))) from error
    finally:
        watching.cancel()
    return sorted(name_of(pod) for pod in await _pods_of(client) if _is_ready(pod))


async def _pods_of(client: Client) -> list[Pod]:
    pods = await client.list(Pod, _NAMESPACE, labels=f"app={_NAME}")
    return [pod for pod in pods.items if not meta(pod).deletionTimestamp]


def _new_and_ready(deployment: Deployment) -> int:
    """Return how many pods are up to date and ready, less those of older revisions."""
    status, generation = deployment.status, meta(deployment).generation or 0
    if status is None or (status.observedGeneration or 0) < generation:
        return 0
    old = (status.replicas or 0) - (status.updatedReplicas or 0)
    return max(0, min(status.updatedReplicas or 0, status.readyReplicas or 0) - old)


def _late(pods: Sequence[Pod]) -> str:
    names = ", ".join(name_of(pod) for pod in pods if not _is_ready(pod))
    said = f"the demo's pods are not ready after {_READY_WITHIN_S:.0f} s"
    return f"{said}: {names}; `monopod explain POD` shows why" if names else said


def _is_ready(pod: Pod) -> bool:
    return is_true(pod.status.conditions if pod.status else None, "Ready")


async def _look(settings: Settings, client: Client, name: str) -> _Shown:
    allowed = access.administrator(settings)
    read = ("exec", "-n", _NAMESPACE, name, "--", "cat", "/proc/sys/kernel/random/boot_id")
    snapshot, boot_id = await asyncio.gather(
        gather(client, _NAMESPACE, name, datetime.now(UTC)),
        process.run(allowed.components / "kubectl", f"--kubeconfig={allowed.kubeconfig}", *read),
    )
    return _Shown(snapshot, boot_id.strip())


def _pods(shown: Sequence[_Shown]) -> Table:
    table = Table("POD", "ADDRESS", "NODE", "BOOT ID", box=None, pad_edge=False)
    for each in shown:
        address = each.snapshot.status.podIP or ""
        table.add_row(each.snapshot.name, address, each.snapshot.bound_to, each.boot_id)
    return table


def _phases(shown: Sequence[_Shown]) -> Table:
    """Return the seconds from each pod's creation to each step of its start."""
    ways = [moments(each.snapshot) for each in shown]
    table = Table("SECONDS AFTER CREATION", box=None, pad_edge=False)
    for each in shown:
        table.add_column(each.snapshot.name.rpartition("-")[2], justify="right")
    for step in max(ways, key=len):
        row: list[str] = []
        for way in ways:
            moment = next((each for each in way if each.name == step.name), None)
            passed = (moment.at - way[0].at).total_seconds() if moment else None
            row.append("" if passed is None else f"{passed:.1f}")
        table.add_row(step.name, *row)
    return table
