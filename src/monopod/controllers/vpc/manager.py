"""Runs the controllers of one router."""

from collections.abc import Callable

from monopod.controllers.vpc.local_traffic_controller import LocalTrafficController
from monopod.controllers.vpc.network_policy_controller import NetworkPolicyController
from monopod.controllers.vpc.router_controller import RouterController
from monopod.controllers.vpc.security_group_controller import SecurityGroupController
from monopod.kube import Client, Manager
from monopod.node.net.cluster_network import ClusterNetwork


async def run(client: Client, plan: ClusterNetwork, ready: Callable[[], None]) -> None:
    """Reconcile a router until cancelled.

    The router's existing tables stay in force until all informers have synced.

    Args:
        client: Authenticated as ``monopod:vpc``.
        plan: The network of the router's cluster.
        ready: Called once every part of the router has been reconciled.
    """
    manager = Manager(client)
    manager.add(RouterController(manager, plan))
    manager.add(SecurityGroupController(manager, plan))
    manager.add(NetworkPolicyController(manager, plan))
    manager.add(LocalTrafficController(manager, plan))
    await manager.run(ready)
