"""``python -m monopod.balancing``: runs the load balancer controller."""

import sys
from typing import Final

from monopod.balancing.accepted import Accepted
from monopod.balancing.controller import BalancerController
from monopod.balancing.haproxy import HAProxy
from monopod.balancing.settings import BalancingSettings
from monopod.kube import Service, connect, serve
from monopod.network.plan import Plan
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
