"""``python -m monopod.controllers.microvm``: the process that runs the MicroVM controllers."""

import sys
from typing import Final

from monopod.controllers.microvm import cluster_endpoint
from monopod.controllers.microvm.events import COMPONENT
from monopod.controllers.microvm.manager import run
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.identity.pull_grant import PullGrants
from monopod.kube import Daemon, connect, leader_election, serve
from monopod.node.provider.local_host import open_local
from monopod.settings import Settings
from monopod.util.scheduling import set_slice

_SLICE_NS: Final = 300_000
"""Of machines, which inherit it: a request passes several, each of which waits for its turn."""


async def _main(service: Daemon) -> None:
    settings, own = Settings(), MicroVMSettings()
    set_slice(_SLICE_NS)
    if own.image is None:
        raise ValueError("MONOPOD_MICROVM_IMAGE is not set; set it to the guest image's directory")
    kubeconfig = settings.identities / "microvm" / "kubeconfig"
    known = cluster_endpoint.read(kubeconfig, settings.region)
    async with (
        connect(kubeconfig, COMPONENT) as client,
        open_local(settings, own.image) as provider,
    ):
        await run(
            client,
            provider,
            known,
            PullGrants(settings.pulls),
            own,
            ready=service.ready,
            election=leader_election.configured(settings, "microvm"),
        )


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, _main, metrics_port=MicroVMSettings().metrics_port))
