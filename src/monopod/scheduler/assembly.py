"""The scheduler's parts, put together and run."""

import asyncio
from collections.abc import Callable
from typing import Final

from monopod.kube import Client, EventRecorder
from monopod.scheduler.cluster import Cluster, informers
from monopod.scheduler.placement import Ground
from monopod.scheduler.pods import PodScheduler
from monopod.scheduler.profile_status import ProfileKeeper
from monopod.scheduler.settings import SchedulerSettings

COMPONENT: Final = "fargate-scheduler"


async def run(
    client: Client, region: str, settings: SchedulerSettings, ready: Callable[[], None]
) -> None:
    """Schedule until cancelled; ``ready`` is called when every pod is being looked after."""
    seen = informers(client)
    cluster = Cluster(seen, roles_required=settings.require_execution_roles)
    events = EventRecorder(client, COMPONENT)
    pods = PodScheduler(
        client,
        cluster,
        events,
        Ground(region, settings.architecture),
        workers=settings.workers,
    )
    profiles = ProfileKeeper(client, cluster)
    async with asyncio.TaskGroup() as group:
        for informer in seen.all():
            group.create_task(informer.run())
        group.create_task(events.run())
        await seen.synced()
        group.create_task(pods.run())
        group.create_task(profiles.run())
        ready()
