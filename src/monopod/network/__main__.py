"""``python -m monopod.network``: the process that keeps the router."""

import sys
from typing import Final

from monopod.kube import Service, connect, serve
from monopod.network.controller import RouterController
from monopod.network.plan import Plan
from monopod.network.settings import NetworkSettings
from monopod.network.topology import find_transit
from monopod.settings import Settings

_NAME: Final = "monopod-network"


async def _main(service: Service) -> None:
    settings = Settings()
    plan = Plan(settings.instance, await find_transit(settings.instance))
    async with connect(settings.identities / "network" / "kubeconfig", _NAME) as client:
        await RouterController(client, plan).run(service.ready)


if __name__ == "__main__":
    sys.exit(serve(_NAME, _main, metrics_port=NetworkSettings().metrics_port))
