"""``python -m monopod.controllers.loadbalancer``: runs the load balancer controller."""

import sys
from typing import Final

from monopod.controllers.loadbalancer import manager
from monopod.controllers.loadbalancer.haproxy import HAProxy
from monopod.controllers.loadbalancer.last_known_good import LastKnownGood
from monopod.controllers.loadbalancer.settings import LoadBalancerSettings
from monopod.kube import Daemon, connect, leader_election, serve
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.settings import Settings
from monopod.util.host_lock import HostLock

_NAME: Final = "monopod-loadbalancer"


async def _main(service: Daemon) -> None:
    settings, own = Settings(), LoadBalancerSettings.model_validate({})
    plan = ClusterNetwork(settings.instance, own.transit)
    haproxy = HAProxy(own.base, own.configuration, own.socket)
    async with connect(settings.identities / "loadbalancer" / "kubeconfig", _NAME) as client:
        accepted = LastKnownGood(own.configuration / "accepted.json")
        await manager.run(
            client,
            haproxy,
            accepted,
            plan,
            settings.region,
            ready=service.ready,
            per_namespace=own.per_namespace,
            lock=HostLock(own.configuration),
            election=leader_election.configured(settings, "loadbalancer"),
        )


if __name__ == "__main__":
    port = LoadBalancerSettings.model_validate({}).metrics_port
    sys.exit(serve(_NAME, _main, metrics_port=port))
