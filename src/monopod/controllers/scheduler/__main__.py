"""``python -m monopod.controllers.scheduler``: the scheduler's process."""

import sys

from monopod.controllers.scheduler import manager
from monopod.controllers.scheduler.events import COMPONENT
from monopod.controllers.scheduler.settings import SchedulerSettings
from monopod.kube import Daemon, connect, leader_election, serve
from monopod.settings import Settings


async def _main(service: Daemon) -> None:
    settings = Settings()
    kubeconfig = settings.identities / "scheduler" / "kubeconfig"
    async with connect(kubeconfig, COMPONENT) as client:
        await manager.run(
            client,
            settings,
            SchedulerSettings(),
            service.ready,
            election=leader_election.configured(settings, "scheduler"),
        )


if __name__ == "__main__":
    port = SchedulerSettings().metrics_port
    sys.exit(serve(COMPONENT, _main, metrics_port=port))
