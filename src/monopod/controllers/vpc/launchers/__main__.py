"""``python -m monopod.controllers.vpc.launchers``: enforces network policies in launcher pods."""

import sys

from monopod.controllers.vpc.launchers import manager
from monopod.controllers.vpc.launchers.controller import COMPONENT
from monopod.controllers.vpc.launchers.settings import PoliciesSettings
from monopod.kube import Daemon, connect, leader_election, serve
from monopod.node.provider.launcher_settings import NAMESPACE
from monopod.settings import Settings


async def _main(service: Daemon) -> None:
    settings = Settings()
    election = leader_election.configured(settings, "policies")
    async with connect(settings.identities / "policies" / "kubeconfig", COMPONENT) as client:
        await manager.run(client, NAMESPACE, service.ready, election=election)


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, _main, metrics_port=PoliciesSettings().metrics_port))
