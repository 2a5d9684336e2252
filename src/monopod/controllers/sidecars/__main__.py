"""``python -m monopod.controllers.sidecars``: the process that runs the sidecar controllers."""

import sys

from monopod.controllers.sidecars import manager
from monopod.controllers.sidecars.events import COMPONENT
from monopod.controllers.sidecars.settings import SidecarSettings
from monopod.kube import Daemon, connect, leader_election, serve
from monopod.settings import Settings


async def _main(service: Daemon) -> None:
    settings = Settings()
    election = leader_election.configured(settings, "sidecars")
    async with connect(settings.identities / "sidecars" / "kubeconfig", COMPONENT) as client:
        await manager.run(client, SidecarSettings(), ready=service.ready, election=election)


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, _main, metrics_port=SidecarSettings().metrics_port))
