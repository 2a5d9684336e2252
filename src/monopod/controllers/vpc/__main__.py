"""``python -m monopod.controllers.vpc``: the process that reconciles the router."""

import sys

from monopod.controllers.vpc import manager
from monopod.controllers.vpc.network_policy_controller import COMPONENT
from monopod.controllers.vpc.settings import VpcSettings
from monopod.kube import Daemon, connect, serve
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.namespaces import Namespace
from monopod.node.net.topology import find_transit
from monopod.settings import Settings
from monopod.util.host_lock import HostLock


async def _main(service: Daemon) -> None:
    settings = Settings()
    plan = ClusterNetwork(settings.instance, await find_transit(settings.instance))
    async with connect(settings.identities / "vpc" / "kubeconfig", COMPONENT) as client:
        router = HostLock(Namespace.named(plan.router_name).path)
        await manager.run(client, plan, service.ready, lock=router)


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, _main, metrics_port=VpcSettings().metrics_port))
