"""``python -m monopod.controllers.microvm``: the process that runs the MicroVM controllers."""

import sys

from monopod.controllers.microvm import cluster_endpoint
from monopod.controllers.microvm.events import COMPONENT
from monopod.controllers.microvm.manager import run
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.identity.pull_grant import PullGrants
from monopod.kube import Daemon, connect, serve
from monopod.node.provider.local_host import open_local
from monopod.settings import Settings


async def _main(service: Daemon) -> None:
    settings, own = Settings(), MicroVMSettings()
    if own.image is None:
        raise ValueError("MONOPOD_MICROVM_IMAGE is not set; set it to the guest image's directory")
    kubeconfig = settings.identities / "microvm" / "kubeconfig"
    known = cluster_endpoint.read(kubeconfig, settings.region)
    async with (
        connect(kubeconfig, COMPONENT) as client,
        open_local(settings, own.image) as provider,
    ):
        await run(client, provider, known, PullGrants(settings.pulls), own, ready=service.ready)


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, _main, metrics_port=MicroVMSettings().metrics_port))
