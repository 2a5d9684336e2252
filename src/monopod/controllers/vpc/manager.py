"""Runs the controllers of one router."""

from collections.abc import Callable

from monopod.controllers.vpc.local_traffic_controller import LocalTrafficController
from monopod.controllers.vpc.network_policy_controller import NetworkPolicyController
from monopod.controllers.vpc.router_controller import RouterController
from monopod.controllers.vpc.security_group_controller import SecurityGroupController
from monopod.kube import Client, Manager
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.util.host_lock import HostLock


async def run(
    client: Client,
    plan: ClusterNetwork,
    ready: Callable[[], None],
    *,
    lock: HostLock | None = None,
) -> None:
    """Reconcile a router until cancelled.

    The router's existing tables stay in force until all informers have synced.

    Args:
        client: Authenticated as ``monopod:vpc``.
        plan: The network of the router's cluster.
        ready: Called once every part of the router has been reconciled.
        lock: Of the one process that writes the router's rules. Each host has a router, so no Lease
            of the cluster elects it.
    """
    manager = Manager(client)
    manager.add(RouterController(manager, plan), prepare=None if lock is None else lock.acquire)
    manager.add(SecurityGroupController(manager, plan))
    manager.add(NetworkPolicyController(manager, plan))
    manager.add(LocalTrafficController(manager, plan))
    await manager.run(ready)
