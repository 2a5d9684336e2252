"""``python -m monopod.controllers.vpc``: the process that reconciles the router."""

import asyncio
import sys
from collections.abc import Callable
from typing import Final, Protocol

from monopod.controllers.vpc.local_traffic_controller import LocalTrafficController
from monopod.controllers.vpc.network_policy_controller import NetworkPolicyController
from monopod.controllers.vpc.router_controller import RouterController
from monopod.controllers.vpc.security_group_controller import SecurityGroupController
from monopod.controllers.vpc.settings import VpcSettings
from monopod.kube import Daemon, connect, serve
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.topology import find_transit
from monopod.settings import Settings

_NAME: Final = "monopod-vpc"


class _Keeps(Protocol):
    """Reconciles one part of the router."""

    async def run(self, ready: Callable[[], None]) -> None: ...


async def _main(service: Daemon) -> None:
    settings = Settings()
    plan = ClusterNetwork(settings.instance, await find_transit(settings.instance))
    async with connect(settings.identities / "vpc" / "kubeconfig", _NAME) as client:
        await _keep(
            service,
            RouterController(client, plan),
            SecurityGroupController(client, plan),
            NetworkPolicyController(client, plan),
            LocalTrafficController(client, plan),
        )


async def _keep(service: Daemon, *controllers: _Keeps) -> None:
    """Run all controllers; the process is ready once each has done its first pass."""
    async with asyncio.TaskGroup() as group:
        in_place = [asyncio.Event() for _ in controllers]
        for controller, event in zip(controllers, in_place, strict=True):
            group.create_task(controller.run(event.set))
        for event in in_place:
            await event.wait()
        service.ready()


if __name__ == "__main__":
    sys.exit(serve(_NAME, _main, metrics_port=VpcSettings().metrics_port))
