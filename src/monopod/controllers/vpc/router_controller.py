"""Reconciles the router with Vpc, Subnet, MicroVM and RBAC objects.

It compares the desired rules with those in the kernel on every change and periodically, so rules
removed by hand or by a crash are restored. Links of machines are made and removed with the machines
(see ``links``). RBAC determines which pods may call kubelets.
"""

from ipaddress import IPv4Network
from typing import Any, Final

import structlog
from lightkube.resources.core_v1 import Node, Pod
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding
from pyroute2 import AsyncIPRoute

from monopod.api.resources import MicroVM, Subnet, Vpc
from monopod.controllers.vpc import desired, endpoints, metrics
from monopod.controllers.vpc.metrics import DropMetrics
from monopod.controllers.vpc.scrapers import Scrapers, scrapers
from monopod.kube import Change, Controller, Key, Manager, Modified, NotFoundError
from monopod.node.net import addresses, router_policy
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.firewall import Firewall
from monopod.node.net.namespaces import Namespace
from monopod.node.net.router_state import read_router_state
from monopod.node.net.routes import refuse, refused, stop_refusing

_ROUTER: Final = "the router"
"""Key of the router in the queue; no subnet has this name, because names contain no spaces."""
_LOOK_EVERY_S: Final = 15.0
_log: Final = structlog.get_logger("vpc")


class RouterController(Controller):
    """Reconciles one router, and reports each Subnet's free addresses in its status."""

    def __init__(
        self, manager: Manager, plan: ClusterNetwork, *, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        """Subscribe to the informers.

        Args:
            manager: Of a client that is authenticated as ``monopod:vpc``.
            plan: The network of the cluster whose router is reconciled.
            look_every_s: Resync period in seconds.
        """
        super().__init__("network", self.reconcile, workers=1, initial=(_ROUTER,))
        self._client = manager.client
        self._plan = plan
        self._look_every_s = look_every_s
        self._router = Namespace.named(plan.router_name)
        self._firewall = Firewall(self._router)
        self._drops = DropMetrics(router_policy.COUNTERS)
        self._scrapers = Scrapers()
        self._vpcs = manager.informer(Vpc)
        self._subnets = manager.informer(Subnet)
        self._machines = manager.informer(MicroVM)
        self._pods = manager.informer(Pod)
        self._nodes = manager.informer(Node)
        self._roles = manager.informer(ClusterRole)
        self._bindings = manager.informer(ClusterRoleBinding)
        self._vpcs.subscribe(self._rules_changed)
        self._subnets.subscribe(self._subnet_changed)
        self._machines.subscribe(self._machine_changed)
        self._roles.subscribe(self._rules_changed)
        self._bindings.subscribe(self._rules_changed)
        self._pods.subscribe(self._pod_changed)

    async def reconcile(self, key: Key) -> float | None:
        """Reconcile the router, or the status of one Subnet."""
        if key != _ROUTER:
            await self._report(key)
            return None
        self._scrapers = scrapers(self._roles.items(), self._bindings.items())
        machines = self._machines.items()
        wanted = desired.policy(
            self._plan,
            self._vpcs.items(),
            self._subnets.items(),
            machines,
            self._scrapers.addresses(
                endpoints.addressed(self._pods.items(), machines, self._nodes.items())
            ),
        )
        async with await self._router.netlink() as netlink:
            await self._route(netlink, wanted.vpc_blocks)
        await self._filter(wanted)
        return self._look_every_s

    def _subnet_changed(self, change: Change[Subnet]) -> None:
        self.enqueue(_ROUTER)
        self.enqueue(change.key)

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        """Enqueue only on a change of addresses; nothing else of a machine affects the router."""
        if isinstance(change, Modified) and _addresses(change.old) == _addresses(change.object):
            return
        self.enqueue(_ROUTER)
        self.enqueue(change.object.spec.subnet)

    def _rules_changed(self, _: object) -> None:
        self.enqueue(_ROUTER)

    def _pod_changed(self, change: Change[Pod]) -> None:
        if not self._scrapers.include(change.object):
            return
        if not isinstance(change, Modified) or _place(change.old) != _place(change.object):
            self.enqueue(_ROUTER)

    async def _filter(self, wanted: router_policy.RouterPolicy) -> None:
        standing = await read_router_state(self._firewall, self._plan)
        self._drops.record(standing.counters)
        if not standing.complete:
            await self._firewall.apply(router_policy.router_tables(self._plan, wanted))
            _log.warning("router_rules_restored", found=bool(standing.counters))
        elif not standing.holds(wanted):
            await self._firewall.apply(router_policy.router_policy(wanted))
            sizes = {name: len(elements) for name, elements in wanted.sets.items()}
            _log.info("router_sets_updated", **sizes)

    async def _route(self, netlink: AsyncIPRoute, blocks: frozenset[IPv4Network]) -> None:
        found = await refused(netlink)
        for block in (blocks | {addresses.MANAGEMENT}) - found:
            await refuse(netlink, block)
        for block in found - blocks - {addresses.MANAGEMENT}:
            await stop_refusing(netlink, block)

    async def _report(self, name: str) -> None:
        subnet = self._subnets.get(name)
        if subnet is None:
            metrics.forget_subnet(name)
            return
        available = desired.available_addresses(subnet, self._machines.items())
        whole = desired.available_addresses(subnet, ())
        if available is not None and whole is not None:
            metrics.show_subnet(name, subnet.spec.availabilityZone, whole, available)
        if subnet.status is not None and subnet.status.availableAddresses == available:
            return
        patch: dict[str, Any] = {"status": {"availableAddresses": available}}
        try:
            await self._client.patch(Subnet, name, patch, subresource="status")
        except NotFoundError:
            return


def _place(pod: Pod) -> object:
    status = pod.status
    node = pod.spec.nodeName if pod.spec else None
    return node, None if status is None else (status.phase, status.podIPs)


def _addresses(machine: MicroVM) -> tuple[str, str] | None:
    status = machine.status
    return None if status is None else (status.managementAddress, status.podAddress)
