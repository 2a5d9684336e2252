"""``python -m monopod.bench.scale.microvm``: the MicroVM controllers on simulated machines.

The same controllers as in ``monopod.controllers.microvm``, started with another provider: that
process itself cannot be made to simulate machines. Its argument is the number of simulated hosts.
"""

import functools
import sys

from monopod.bench.scale.provider import SimulatedProvider
from monopod.controllers.microvm import cluster_endpoint
from monopod.controllers.microvm.events import COMPONENT
from monopod.controllers.microvm.manager import run
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.identity.pull_grant import PullGrants
from monopod.kube import Daemon, connect, serve
from monopod.settings import Settings


async def _main(hosts: int, service: Daemon) -> None:
    settings, own = Settings(), MicroVMSettings()
    kubeconfig = settings.identities / "microvm" / "kubeconfig"
    async with connect(kubeconfig, COMPONENT) as client:
        endpoint = await cluster_endpoint.of_services(client, kubeconfig, settings.region, own)
        grants = PullGrants(settings.pulls)
        provider = SimulatedProvider(hosts)
        await run(client, provider, endpoint, grants, own, ready=service.ready)


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, functools.partial(_main, int(sys.argv[1]))))
