"""``python -m tests.replicas.microvm_process``: the MicroVM controller over simulated machines."""

import sys

from monopod.controllers.microvm.manager import run
from monopod.identity.pull_grant import PullGrants
from monopod.kube import Daemon, connect, leader_election, serve
from monopod.settings import Settings
from tests.microvm.world import ENDPOINT, SETTINGS
from tests.replicas.simulated import SimulatedProvider


async def _main(service: Daemon) -> None:
    settings = Settings()
    async with connect(settings.identities / "microvm" / "kubeconfig", "monopod-microvm") as client:
        await run(
            client,
            SimulatedProvider(settings.machines),
            ENDPOINT,
            PullGrants(settings.pulls),
            SETTINGS,
            ready=service.ready,
            election=leader_election.configured(settings, "microvm"),
        )


if __name__ == "__main__":
    sys.exit(serve("monopod-microvm", _main))
