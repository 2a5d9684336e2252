"""``python -m monopod.scheduler``: the process."""

import asyncio
import sys

from monopod.kube import EventRecorder, Service, connect, serve
from monopod.scheduler.cluster import Cluster, informers
from monopod.scheduler.decision import Limits
from monopod.scheduler.placement import Ground
from monopod.scheduler.pods import PodScheduler
from monopod.scheduler.profile_status import ProfileKeeper
from monopod.scheduler.settings import SchedulerSettings
from monopod.settings import Settings

_COMPONENT = "fargate-scheduler"


async def _run(service: Service) -> None:
    settings, own = Settings(), SchedulerSettings()
    kubeconfig = settings.identities / "scheduler" / "kubeconfig"
    async with connect(kubeconfig, _COMPONENT) as client, asyncio.TaskGroup() as group:
        seen = informers(client)
        cluster = Cluster(seen)
        events = EventRecorder(client, _COMPONENT)
        pods = PodScheduler(
            client,
            cluster,
            events,
            Ground(settings.region, own.architecture),
            Limits(own.driver, own.max_milli_cpu),
            workers=own.workers,
        )
        profiles = ProfileKeeper(client, cluster)
        for informer in seen.all():
            group.create_task(informer.run())
        group.create_task(events.run())
        await seen.synced()
        group.create_task(pods.run())
        group.create_task(profiles.run())
        service.ready()


if __name__ == "__main__":
    sys.exit(serve(_COMPONENT, _run, metrics_port=SchedulerSettings().metrics_port))
