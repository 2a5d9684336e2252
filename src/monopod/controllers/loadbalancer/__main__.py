"""``python -m monopod.controllers.loadbalancer``: runs the load balancer controller."""

import sys
from typing import Final

from monopod.controllers.loadbalancer.last_known_good import Accepted
from monopod.controllers.loadbalancer.controller import BalancerController
from monopod.controllers.loadbalancer.haproxy import HAProxy
from monopod.controllers.loadbalancer.settings import BalancingSettings
from monopod.kube import Service, connect, serve
from monopod.node.net.cluster_network import Plan
from monopod.settings import Settings

_NAME: Final = "monopod-balancing"


async def _main(service: Service) -> None:
    settings, own = Settings(), BalancingSettings.model_validate({})
    plan = Plan(settings.instance, own.transit)
    haproxy = HAProxy(own.base, own.configuration, own.socket)
    async with connect(settings.identities / "balancing" / "kubeconfig", _NAME) as client:
        accepted = Accepted(own.configuration / "accepted.json")
        controller = BalancerController(client, haproxy, accepted, plan, settings.region)
        await controller.run(service.ready)


if __name__ == "__main__":
    port = BalancingSettings.model_validate({}).metrics_port
    sys.exit(serve(_NAME, _main, metrics_port=port))
