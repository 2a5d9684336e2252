"""``python -m monopod.controllers.patch``: the process that runs the patch controllers."""

import sys

from monopod.controllers.patch import manager
from monopod.controllers.patch.events import COMPONENT
from monopod.controllers.patch.notice import Origin
from monopod.controllers.patch.settings import PatchSettings
from monopod.kube import Daemon, connect, leader_election, serve
from monopod.settings import Settings


async def _main(service: Daemon) -> None:
    settings = Settings()
    origin = Origin(settings.cluster, settings.account, settings.region)
    async with connect(settings.identities / "patch" / "kubeconfig", COMPONENT) as client:
        await manager.run(
            client,
            origin,
            PatchSettings(),
            ready=service.ready,
            election=leader_election.configured(settings, "patch"),
        )


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, _main, metrics_port=PatchSettings().metrics_port))
