"""Assembles and runs the sidecar controllers with their informers."""

from collections.abc import Callable

from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.sidecar_injections import (
    ClusterSidecarInjection,
    RawDaemonSet,
    SidecarInjection,
)
from monopod.controllers.sidecars.daemon_sets import DaemonSetController
from monopod.controllers.sidecars.events import COMPONENT
from monopod.controllers.sidecars.injections import Informers, InjectionController
from monopod.controllers.sidecars.settings import SidecarSettings
from monopod.kube import Client, ElectionConfig, Manager


async def run(
    client: Client,
    settings: SidecarSettings,
    *,
    ready: Callable[[], None] = lambda: None,
    election: ElectionConfig | None = None,
) -> None:
    """Run the sidecar controllers until cancelled.

    Args:
        client: As ``monopod:sidecars``.
        settings: Intervals.
        ready: Called once the informers are synced.
        election: The Lease without which nothing acts. None means no leader election.
    """
    manager = Manager(client, election)
    client = manager.client
    views = Informers(
        namespaced=manager.informer(SidecarInjection),
        cluster=manager.informer(ClusterSidecarInjection),
        pods=manager.informer(Pod, fields=f"spec.schedulerName={keys.SCHEDULER_NAME}"),
    )
    recorder = manager.recorder(COMPONENT)
    manager.add(InjectionController(client, views, recorder, settings))
    daemon_sets = manager.informer(RawDaemonSet)
    manager.add(DaemonSetController(client, daemon_sets, views.namespaced, views.cluster, recorder))
    await manager.run(ready)
