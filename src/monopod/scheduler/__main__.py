"""``python -m monopod.scheduler``: the scheduler's process."""

import sys

from monopod.kube import Service, connect, serve
from monopod.scheduler import assembly
from monopod.scheduler.settings import SchedulerSettings
from monopod.settings import Settings


async def _main(service: Service) -> None:
    settings = Settings()
    kubeconfig = settings.identities / "scheduler" / "kubeconfig"
    async with connect(kubeconfig, assembly.COMPONENT) as client:
        await assembly.run(client, settings, SchedulerSettings(), service.ready)


if __name__ == "__main__":
    port = SchedulerSettings().metrics_port
    sys.exit(serve(assembly.COMPONENT, _main, metrics_port=port))
