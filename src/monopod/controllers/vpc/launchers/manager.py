"""Runs the controllers of network policies in launcher pods."""

from collections.abc import Callable

from monopod.controllers.vpc.launchers.controller import FilterController, RouterController
from monopod.kube import Client, ElectionConfig, Manager


async def run(
    client: Client,
    namespace: str,
    ready: Callable[[], None] = lambda: None,
    *,
    election: ElectionConfig | None = None,
) -> None:
    """Enforce network policies on machines in launcher pods, until cancelled.

    Args:
        client: Authenticated as ``monopod:policies``.
        namespace: The namespace of launcher pods.
        ready: Called once the filters of every machine are computed.
        election: The Lease without which nothing acts. None means no leader election.
    """
    manager = Manager(client, election)
    routers = RouterController(manager, namespace)
    manager.add(FilterController(manager, namespace, routers))
    manager.add(routers)
    await manager.run(ready)
