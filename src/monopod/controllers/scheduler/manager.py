"""Runs the scheduler's controllers."""

from collections.abc import Callable

from monopod.controllers.scheduler import metrics
from monopod.controllers.scheduler.cache import SchedulerCache, scheduler_informers
from monopod.controllers.scheduler.controller import PodScheduler
from monopod.controllers.scheduler.events import COMPONENT, EventPublisher
from monopod.controllers.scheduler.placement import Region
from monopod.controllers.scheduler.profile_controller import FargateProfileController, Rules
from monopod.controllers.scheduler.settings import SchedulerSettings
from monopod.controllers.scheduler.starts import Start, StartObserver
from monopod.controllers.scheduler.traces import TraceExporter
from monopod.kube import Client, ElectionConfig, Manager
from monopod.settings import Settings


async def run(
    client: Client,
    settings: Settings,
    own: SchedulerSettings,
    ready: Callable[[], None],
    *,
    election: ElectionConfig | None = None,
) -> None:
    """Schedule until cancelled; ``ready`` is called once all informers are synced."""
    manager = Manager(client, election)
    client = manager.client
    cache = SchedulerCache(
        scheduler_informers(manager),
        drivers=own.csi_drivers,
        roles_required=own.require_execution_roles,
    )
    region = Region(settings.region, own.architecture)
    rules = Rules(
        settings.cluster, settings.region, settings.unsupported_regions, settings.max_profiles
    )
    events = EventPublisher(manager.recorder(COMPONENT))
    exporter = (
        None
        if own.traces_url is None
        else TraceExporter(own.traces_url, settings.cluster, own.traces_timeout_s)
    )

    def report(start: Start) -> None:
        metrics.started(start)
        if exporter is not None:
            exporter.offer(start)

    starts = StartObserver(cache.machines.get, report)
    cache.informers.pods.subscribe(starts.pod_changed)
    cache.informers.machines.subscribe(starts.machine_changed)

    async def go_live() -> None:
        starts.go_live()

    scheduler = PodScheduler(
        client, cache, events, region, hardware_only=own.hardware_only, workers=own.workers
    )
    manager.add(scheduler, prepare=go_live)
    if exporter is not None:
        manager.add(exporter.run)
    manager.add(FargateProfileController(client, cache, rules))
    await manager.run(ready)
