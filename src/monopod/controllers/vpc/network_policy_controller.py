"""Enforces network policies: reconciles their filters with pods, MicroVMs and namespaces."""

import functools
from typing import Final

from lightkube.resources.core_v1 import Namespace as KubeNamespace
from lightkube.resources.core_v1 import Node, Pod
from lightkube.resources.networking_v1 import NetworkPolicy

from monopod.api.resources import MicroVM
from monopod.controllers.vpc import endpoints, network_policies
from monopod.controllers.vpc.changes import if_changed
from monopod.controllers.vpc.filter_table import POLICIES
from monopod.controllers.vpc.filter_writer import FilterWriter
from monopod.controllers.vpc.network_policy_events import NotEnforcedEvents
from monopod.kube import Controller, Key, Manager, labels_of, name_of
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.firewall import Firewall
from monopod.node.net.namespaces import Namespace

COMPONENT: Final = "monopod-vpc"
"""The process, in logs and as the source of events."""
_FILTERS: Final = "the filters"
_LOOK_EVERY_S: Final = 15.0


class NetworkPolicyController(Controller):
    """Reconciles the policies' filters, and emits events for rules that are not enforced."""

    def __init__(
        self, manager: Manager, plan: ClusterNetwork, *, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        """Subscribe to the informers.

        Args:
            manager: Of a client that is authenticated as ``monopod:vpc``.
            plan: The network of the cluster in whose router policies are enforced.
            look_every_s: Resync period in seconds.
        """
        super().__init__("network-policies", self.reconcile, workers=1, initial=(_FILTERS,))
        self._plan = plan
        self._look_every_s = look_every_s
        self._filters = FilterWriter(Firewall(Namespace.named(plan.router_name)), POLICIES)
        self._not_enforced = NotEnforcedEvents(manager.recorder(COMPONENT))
        self._policies = manager.informer(NetworkPolicy)
        self._pods = manager.informer(Pod)
        self._machines = manager.informer(MicroVM)
        self._nodes = manager.informer(Node)
        self._namespaces = manager.informer(KubeNamespace)
        again = functools.partial(self.enqueue, _FILTERS)
        self._policies.subscribe(if_changed(lambda policy: policy.spec, again))
        self._pods.subscribe(if_changed(_pod_fields, again))
        self._machines.subscribe(if_changed(_machine_fields, again))
        self._nodes.subscribe(if_changed(lambda node: node.spec, again))
        self._namespaces.subscribe(if_changed(labels_of, again))

    async def reconcile(self, _: Key) -> float | None:
        """Reconcile the filters."""
        found = endpoints.endpoints(self._pods.items(), self._machines.items(), self._nodes.items())
        pods = network_policies.Pods(
            [*found, endpoints.resolver(self._plan.resolver, self._plan.resolver_without_names)],
            {name_of(each): labels_of(each) for each in self._namespaces.items()},
            nodes=endpoints.shared_addresses(self._machines.items()),
        )
        await self._filters.write(network_policies.filters(self._policies.items(), pods))
        self._not_enforced.report(self._policies.items())
        return self._look_every_s


def _pod_fields(pod: Pod) -> object:
    status = pod.status
    node = pod.spec.nodeName if pod.spec else None
    return (
        labels_of(pod),
        node,
        None if status is None else (status.phase, status.podIPs),
    )


def _machine_fields(machine: MicroVM) -> object:
    return None if machine.status is None else (machine.status.podAddress, machine.status.nodeName)
