"""Reconciles the rules of machines' routers with the cluster's network policies.

One controller computes the filters of every machine; the other writes those that changed, each by
one ``nft`` in the container of its launcher pod that made the router. A router lets nothing of its
pod pass until its first rules are written.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from lightkube.resources.core_v1 import Namespace, Node, Pod, Service
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.resources.networking_v1 import NetworkPolicy

from monopod.api.resources import MicroVM
from monopod.controllers.vpc import endpoints, network_policies
from monopod.controllers.vpc.changes import if_changed
from monopod.controllers.vpc.filters import Filter
from monopod.controllers.vpc.launchers.desired import Launcher, changed, commands, desired
from monopod.controllers.vpc.launchers.services import service_ports
from monopod.controllers.vpc.network_policy_events import NotEnforcedEvents
from monopod.controllers.vpc.security_groups import pod_address
from monopod.kube import (
    Change,
    Controller,
    Deleted,
    EventType,
    Key,
    KubeError,
    Manager,
    Modified,
    NotFoundError,
    key_of,
    labels_of,
    make_key,
    name_of,
    namespace_of,
)
from monopod.kube.exec import run_in_pod
from monopod.node.net.addresses import parse_address
from monopod.node.provider.launcher_pod import NETWORK

COMPONENT: Final = "monopod-policies"
"""The process, in logs and as the source of events."""
NFT: Final = ("/usr/sbin/nft", "-j", "-f", "-")
"""The one command that the process runs in launcher pods."""
_FILTERS: Final = "the filters"
_WRITERS: Final = 8
_WITHIN_S: Final = 10.0
_log: Final = structlog.get_logger("policies")


class RouterController(Controller):
    """Writes the filters of machines into their routers."""

    def __init__(self, manager: Manager, namespace: str) -> None:
        """Subscribe to the launcher pods.

        Args:
            manager: Of a client that is authenticated as ``monopod:policies``.
            namespace: The namespace of launcher pods.
        """
        super().__init__("launcher-routers", self.reconcile, workers=_WRITERS)
        self._client = manager.client
        self._namespace = namespace
        self._wanted: Mapping[Key, Sequence[Filter]] = {}
        """By machine, of those whose pod is known."""
        self._written: dict[Key, tuple[str, Sequence[Filter]]] = {}
        """By machine: the container whose router it was written to, and what."""
        self._pods = manager.informer(Pod)
        self._machines = manager.informer(MicroVM)
        self._events = manager.recorder(COMPONENT)
        self._pods.subscribe(self._pod_changed)

    def want(self, filters: Mapping[Key, Sequence[Filter]]) -> None:
        """Have routers get these filters, by machine: those whose filters changed."""
        before, self._wanted = self._wanted, filters
        for machine in changed(before, filters):
            self.enqueue(machine)

    async def reconcile(self, key: Key) -> float | None:
        """Write the filters of one machine, unless its router has them."""
        pod = self._pods.get(make_key(key, self._namespace))
        container = None if pod is None else running_container(pod)
        filters = self._wanted.get(key)
        if pod is None or container is None or filters is None:
            return None
        wanted = container, filters
        if self._written.get(key) == wanted:
            return None
        rules = json.dumps({"nftables": commands(filters)}).encode()
        try:
            await run_in_pod(self._client, pod, NETWORK, NFT, rules, timeout_s=_WITHIN_S)
        except NotFoundError:
            # The launcher pod is gone, and its router with it.
            return None
        except KubeError as error:
            self._report(key, error)
            raise
        self._written[key] = wanted
        _log.info("launcher_policies_written", machine=key, filters=len(filters))
        return None

    def _pod_changed(self, change: Change[Pod]) -> None:
        pod = change.object
        if namespace_of(pod) != self._namespace:
            return
        if isinstance(change, Deleted):
            self._written.pop(name_of(pod), None)
        elif not isinstance(change, Modified) or running_container(change.old) != running_container(
            pod
        ):
            self.enqueue(name_of(pod))

    def _report(self, machine: str, error: KubeError) -> None:
        """Say on the machine's pod that its network policies are not as they should be."""
        found = self._machines.get(machine)
        reference = None if found is None else found.spec.podRef
        pod = reference and self._pods.get(make_key(reference.name, reference.namespace))
        if pod:
            self._events.record(
                pod,
                EventType.WARNING,
                "NetworkPoliciesNotWritten",
                f"Its network policies cannot be written to the router of {machine}, which keeps"
                f" those it has, or lets nothing pass if it has none: {error}",
            )


class FilterController(Controller):
    """Computes the filters of every machine, and emits events for what they do not enforce."""

    def __init__(self, manager: Manager, namespace: str, routers: RouterController) -> None:
        """Subscribe to the informers.

        Args:
            manager: As for the routers.
            namespace: The namespace of launcher pods.
            routers: Writes the filters.
        """
        super().__init__("policies", self.reconcile, workers=1, initial=(_FILTERS,))
        self._routers = routers
        self._namespace = namespace
        self._not_enforced = NotEnforcedEvents(manager.recorder(COMPONENT))
        self._policies = manager.informer(NetworkPolicy)
        self._pods = manager.informer(Pod)
        self._machines = manager.informer(MicroVM)
        self._nodes = manager.informer(Node)
        self._namespaces = manager.informer(Namespace)
        self._services = manager.informer(Service)
        self._slices = manager.informer(EndpointSlice)
        again = functools.partial(self.enqueue, _FILTERS)
        self._policies.subscribe(if_changed(lambda policy: policy.spec, again))
        self._pods.subscribe(if_changed(_pod_fields, again))
        self._machines.subscribe(if_changed(pod_address, again))
        self._nodes.subscribe(if_changed(name_of, again))
        self._namespaces.subscribe(if_changed(labels_of, again))
        self._services.subscribe(if_changed(lambda service: service.spec, again))
        self._slices.subscribe(if_changed(lambda each: (each.endpoints, each.ports), again))

    async def reconcile(self, _: Key) -> float | None:
        """Compute all filters again."""
        pods = [each for each in self._pods.items() if namespace_of(each) != self._namespace]
        found = network_policies.Pods(
            endpoints.endpoints(pods, self._machines.items(), self._nodes.items(), hosts=True),
            {name_of(each): labels_of(each) for each in self._namespaces.items()},
        )
        policies = self._policies.items()
        filters = network_policies.filters(policies, found)
        machines = launchers(self._pods.items(), self._namespace)
        self._routers.want(
            desired(machines, filters, service_ports(self._services.items(), self._slices.items()))
        )
        # Others' policies may apply to pods of hosts alone, for which a CNI plug-in enforces them.
        own = network_policies.governing(filters, {each.address for each in machines})
        self._not_enforced.report(each for each in policies if key_of(each) in own)
        return None


def launchers(pods: Sequence[Pod], namespace: str) -> list[Launcher]:
    """Return the launcher pods that have an address.

    Args:
        pods: All pods.
        namespace: The namespace of launcher pods.
    """
    return [
        Launcher(name_of(pod), address, parse_address(pod.status.hostIP))
        for pod in pods
        if namespace_of(pod) == namespace
        and pod.status is not None
        and (address := parse_address(pod.status.podIP)) is not None
    ]


def running_container(pod: Pod) -> str | None:
    """Return the ID of the running container that made a launcher pod's router, if there is one."""
    for each in (pod.status.initContainerStatuses if pod.status else None) or ():
        if each.name == NETWORK and each.state and each.state.running:
            return each.containerID
    return None


def _pod_fields(pod: Pod) -> object:
    status = pod.status
    node = pod.spec.nodeName if pod.spec else None
    return labels_of(pod), node, status and (status.phase, status.podIP, status.hostIP)
