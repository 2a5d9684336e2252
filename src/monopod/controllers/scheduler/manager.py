"""Assembles and runs the scheduler's informers, event recorder and controllers."""

import asyncio
from collections.abc import Callable
from typing import Final

from monopod.controllers.scheduler.cache import SchedulerCache, informers
from monopod.controllers.scheduler.controller import PodScheduler
from monopod.controllers.scheduler.placement import Region
from monopod.controllers.scheduler.profile_controller import FargateProfileController, Rules
from monopod.controllers.scheduler.settings import SchedulerSettings
from monopod.kube import Client, EventRecorder
from monopod.settings import Settings

COMPONENT: Final = "fargate-scheduler"


async def run(
    client: Client, settings: Settings, own: SchedulerSettings, ready: Callable[[], None]
) -> None:
    """Schedule until cancelled; ``ready`` is called once all informers are synced."""
    seen = informers(client)
    cluster = SchedulerCache(
        seen, drivers=own.csi_drivers, roles_required=own.require_execution_roles
    )
    events = EventRecorder(client, COMPONENT)
    pods = PodScheduler(
        client,
        cluster,
        events,
        Region(settings.region, own.architecture),
        workers=own.workers,
    )
    rules = Rules(
        settings.cluster, settings.region, settings.unsupported_regions, settings.max_profiles
    )
    profiles = FargateProfileController(client, cluster, rules)
    async with asyncio.TaskGroup() as group:
        for informer in seen.all():
            group.create_task(informer.run())
        group.create_task(events.run())
        await seen.synced()
        group.create_task(pods.run())
        group.create_task(profiles.run())
        ready()
