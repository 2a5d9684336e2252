"""Enforces network policies: reconciles their filters with pods, MicroVMs and namespaces."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from lightkube.resources.core_v1 import Namespace as KubeNamespace
from lightkube.resources.core_v1 import Node, Pod
from lightkube.resources.networking_v1 import NetworkPolicy

from monopod.api.resources import MicroVM
from monopod.controllers.vpc import endpoints, network_policies
from monopod.controllers.vpc.filter_table import POLICIES
from monopod.controllers.vpc.filter_writer import FilterWriter
from monopod.controllers.vpc.not_enforced import not_enforced
from monopod.kube import (
    Change,
    Client,
    Controller,
    EventRecorder,
    EventType,
    Informer,
    Key,
    Modified,
    meta,
)
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.firewall import Firewall
from monopod.node.net.namespaces import Namespace

_COMPONENT: Final = "monopod-vpc"
_FILTERS: Final = "the filters"
_LOOK_EVERY_S: Final = 15.0


class NetworkPolicyController:
    """Reconciles the policies' filters, and emits events for rules that are not enforced."""

    def __init__(
        self, client: Client, plan: ClusterNetwork, *, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        """Set up informers and queue.

        Args:
            client: Authenticated as ``monopod:vpc``.
            plan: The network of the cluster in whose router policies are enforced.
            look_every_s: Resync period in seconds.
        """
        self._plan = plan
        self._look_every_s = look_every_s
        self._keeper = FilterWriter(Firewall(Namespace.named(plan.router_name)), POLICIES)
        self._policies = Informer(client, NetworkPolicy)
        self._pods = Informer(client, Pod)
        self._machines = Informer(client, MicroVM)
        self._nodes = Informer(client, Node)
        self._namespaces = Informer(client, KubeNamespace)
        self._events = EventRecorder(client, _COMPONENT)
        self._said: dict[str, str] = {}
        self._controller = Controller("network-policies", self._reconcile, workers=1)
        self._in_place = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Run until cancelled; ``ready`` is called once the filters are first applied."""
        informers: tuple[tuple[Informer[Any], Callable[[Any], object]], ...] = (
            (self._policies, lambda policy: policy.spec),
            (self._pods, _facts_of_pod),
            (self._machines, _facts_of_machine),
            (self._nodes, lambda node: node.spec),
            (self._namespaces, _labels),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._events.run())
            for informer, _ in informers:
                group.create_task(informer.run())
            # The existing table stays in force until all informers have synced.
            for informer, facts in informers:
                await informer.synced()
                informer.subscribe(self._waking(facts))
            self._controller.enqueue(_FILTERS)
            group.create_task(self._controller.run())
            await self._in_place.wait()
            ready()

    def _waking(self, facts: Callable[[Any], object]) -> Callable[[Change[Any]], None]:
        """Return a handler that enqueues only if these facts of an object changed."""

        def changed(change: Change[Any]) -> None:
            if not isinstance(change, Modified) or facts(change.old) != facts(change.object):
                self._controller.enqueue(_FILTERS)

        return changed

    async def _reconcile(self, _: Key) -> float | None:
        found = endpoints.endpoints(self._pods.items(), self._machines.items(), self._nodes.items())
        pods = network_policies.Pods(
            [*found, endpoints.resolver(self._plan.resolver, self._plan.resolver_without_names)],
            {meta(each).name or "": meta(each).labels or {} for each in self._namespaces.items()},
            nodes=endpoints.shared_addresses(self._machines.items()),
        )
        await self._keeper.keep(network_policies.filters(self._policies.items(), pods))
        self._in_place.set()
        self._tell()
        return self._look_every_s

    def _tell(self) -> None:
        """Emit an event for each policy that is not fully enforced, once while it is the same."""
        said: dict[str, str] = {}
        for policy in self._policies.items():
            message = not_enforced(policy)
            if message is None:
                continue
            uid = meta(policy).uid or ""
            if self._said.get(uid) != message:
                self._events.record(policy, EventType.WARNING, "NotEnforced", message)
            said[uid] = message
        self._said = said


def _labels(of: KubeNamespace) -> object:
    return meta(of).labels


def _facts_of_pod(pod: Pod) -> object:
    status = pod.status
    node = pod.spec.nodeName if pod.spec else None
    return (
        meta(pod).labels,
        node,
        None if status is None else (status.phase, status.podIPs),
    )


def _facts_of_machine(machine: MicroVM) -> object:
    return None if machine.status is None else (machine.status.podAddress, machine.status.nodeName)
