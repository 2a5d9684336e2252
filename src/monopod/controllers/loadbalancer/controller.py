"""The load balancer controller: reconciles all load balancers at each change and periodically.

A reconcile derives the desired load balancers from all objects at once, applies them to HAProxy,
and only then writes status: a status never shows an address at which nothing listens yet. An
invalid object keeps its last-known-good configuration.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from lightkube.resources.core_v1 import Pod, Service
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.resources.networking_v1 import Ingress, IngressClass

from monopod.api.keys import TARGET_HEALTH_PREFIX
from monopod.api.target_groups import TargetGroupBinding
from monopod.controllers.loadbalancer import (
    readiness_gates,
    servers,
    services,
    target_group_bindings,
)
from monopod.controllers.loadbalancer.certificates import Certificates
from monopod.controllers.loadbalancer.deployer import Deployer, Objects
from monopod.controllers.loadbalancer.desired import (
    DesiredLoadBalancer,
    Owner,
    Shown,
    shown,
    shown_addresses,
)
from monopod.controllers.loadbalancer.haproxy import HAProxy
from monopod.controllers.loadbalancer.ingress import is_application_balancer, secret_keys
from monopod.controllers.loadbalancer.last_known_good import LastKnownGood
from monopod.controllers.loadbalancer.model import Balancer
from monopod.controllers.loadbalancer.render_rules import backend_name
from monopod.controllers.loadbalancer.targets import service_key
from monopod.kube import (
    Change,
    Client,
    ConflictError,
    Controller,
    Deleted,
    EventRecorder,
    EventType,
    Informer,
    Key,
    Modified,
    NotFoundError,
    PatchType,
    key_of,
    key_parts,
    meta,
    uid_of,
)
from monopod.node.net.addresses import balancer_host_name
from monopod.node.net.cluster_network import ClusterNetwork

_EVERYTHING: Final = "the load balancers"
"""The queue's single key; no object can have it, as names have no blanks."""
_LOOK_EVERY_S: Final = 10.0
_CHECKED_WITHIN_S: Final = 0.5
"""Seconds between two reconciles while pods wait for health checks."""
_log: Final = structlog.get_logger("loadbalancer")


class LoadBalancerController:
    """Reconciles all load balancers of a cluster."""

    def __init__(
        self,
        client: Client,
        haproxy: HAProxy,
        accepted: LastKnownGood,
        plan: ClusterNetwork,
        region: str,
        *,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        """Set up informers and the queue.

        Args:
            client: As the user ``monopod:loadbalancer``.
            haproxy: Runs the load balancers.
            accepted: The last-known-good configuration per object.
            plan: The cluster's network plan.
            region: The region in their host names.
            look_every_s: Resync period in seconds.
        """
        self._client = client
        self._accepted = accepted
        self._all = plan.balancer_addresses
        self._region = region
        self._look_every_s = look_every_s
        self._services = Informer(client, Service)
        self._slices = Informer(client, EndpointSlice)
        self._ingresses = Informer(client, Ingress)
        self._classes = Informer(client, IngressClass)
        self._bindings = Informer(client, TargetGroupBinding)
        self._pods = Informer(client, Pod)
        self._certificates = Certificates(client, time.monotonic)
        self._serving = Deployer(haproxy, accepted, self._certificates, plan)
        self._slices_of: dict[str, dict[Key, EndpointSlice]] = defaultdict(dict)
        # The event sources that AWS's controller uses.
        self._events = {
            Service: EventRecorder(client, "service"),
            Ingress: EventRecorder(client, "ingress"),
        }
        self._said: dict[str, tuple[str, str]] = {}
        self._controller = Controller("loadbalancer", self._reconcile, workers=1, cap_s=5.0)
        self._in_place = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Reconcile until cancelled; ``ready`` is called after the first successful reconcile."""
        informers: tuple[Informer[Any], ...] = (
            self._services,
            self._slices,
            self._ingresses,
            self._classes,
            self._bindings,
        )
        async with asyncio.TaskGroup() as group:
            for recorder in self._events.values():
                group.create_task(recorder.run())
            self._slices.subscribe(self._slice_changed)
            for informer in informers:
                informer.subscribe(lambda _: self._controller.enqueue(_EVERYTHING))
                group.create_task(informer.run())
            self._pods.subscribe(self._pod_changed)
            group.create_task(self._pods.run())
            for informer in (*informers, self._pods):
                await informer.synced()
            self._controller.enqueue(_EVERYTHING)
            group.create_task(self._controller.run())
            await self._in_place.wait()
            ready()

    def _slice_changed(self, change: Change[EndpointSlice]) -> None:
        if isinstance(change, Modified):
            self._slices_of[service_key(change.old)].pop(change.key, None)
        if isinstance(change, Deleted):
            self._slices_of[service_key(change.object)].pop(change.key, None)
        else:
            self._slices_of[service_key(change.object)][change.key] = change.object

    def _pod_changed(self, change: Change[Pod]) -> None:
        if readiness_gates.gates_of(change.object):
            self._controller.enqueue(_EVERYTHING)

    def _slices_for(self, key: str) -> Sequence[EndpointSlice]:
        return readiness_gates.with_waiting(
            tuple(self._slices_of.get(key, {}).values()), self._pods.get
        )

    async def _reconcile(self, _: Key) -> float | None:
        objects = self._objects()
        await self._certificates.read(self._secrets(objects.ingresses))
        served = await self._serving.serve(objects)
        self._in_place.set()
        placed = served.placed
        self._accepted.keep(
            {uid: part for wanted, _ in placed for uid, part in wanted.parts.items()},
            {uid_of(each) for each in (*self._claimed_services(), *objects.ingresses)},
        )
        for refusal in served.refusals.values():
            self._say(refusal.owner, EventType.WARNING, "FailedBuildModel", refusal.message)
        for hint in served.asked.hints:
            self._say(hint.owner, EventType.WARNING, hint.reason, hint.message)
        places: dict[str, Shown] = {}
        for wanted, balancer in placed:
            host = balancer_host_name(balancer.name, balancer.address, self._region)
            for owner in wanted.owners:
                places[uid_of(owner)] = ((str(balancer.address), host),)
        for owner in (*self._services.items(), *self._ingresses.items()):
            await self._show(owner, places.get(uid_of(owner), ()))
        for wanted, _balancer in placed:
            for owner in wanted.owners:
                if uid_of(owner) in wanted.parts:
                    self._say(
                        owner, EventType.NORMAL, "SuccessfullyReconciled", "Successfully reconciled"
                    )
        made = target_group_bindings.bindings(wanted for wanted, _ in placed)
        await target_group_bindings.keep(self._client, made, self._bindings.items())
        return await self._open_gates(placed, served.standing)

    def _secrets(self, applicants: Sequence[Ingress]) -> set[str]:
        """Return the keys of all Secrets in current and last-known-good configurations."""
        found: set[str] = set()
        for ingress in applicants:
            found.update(secret_keys(ingress))
            if (kept := self._accepted.http(uid_of(ingress))) is not None:
                found.update(kept.certificates)
        return found

    async def _open_gates(
        self, placed: Sequence[tuple[DesiredLoadBalancer, Balancer]], standing: servers.ServerStates
    ) -> float:
        """Write health check results to pods; return the seconds until the next reconcile."""
        pods = [each for each in self._pods.items() if readiness_gates.gates_of(each)]
        if not pods:
            return self._look_every_s
        health = _health(placed, standing)
        for pod, patch in readiness_gates.patches(pods, health, datetime.now(UTC)):
            metadata = meta(pod)
            try:
                await self._client.patch(
                    Pod,
                    metadata.name or "",
                    patch,
                    metadata.namespace,
                    kind_of_patch=PatchType.STRATEGIC,
                    subresource="status",
                )
            except (ConflictError, NotFoundError):
                continue
        soon = readiness_gates.outstanding(pods, health)
        return min(_CHECKED_WITHIN_S, self._look_every_s) if soon else self._look_every_s

    def _objects(self) -> Objects:
        classes = {meta(each).name or "": each for each in self._classes.items()}
        ours: list[Ingress] = []
        others: list[Ingress] = []
        for each in self._ingresses.items():
            if meta(each).deletionTimestamp is None:
                (ours if is_application_balancer(each, classes) else others).append(each)
        everything = {key_of(each): each for each in self._services.items()}
        return Objects(everything, ours, self._slices_for, others, classes)

    def _claimed_services(self) -> list[Service]:
        return [
            each
            for each in self._services.items()
            if meta(each).deletionTimestamp is None and services.is_network_balancer(each)
        ]

    async def _show(self, owner: Owner, wanted: Shown) -> None:
        """Write the load balancer's address, or its absence, to an object's status."""
        there = shown(owner)
        if there == wanted or (not wanted and not shown_addresses(owner, self._all)):
            return
        # Mode Proxy, so that kube-proxy does not bypass the load balancer for pods.
        mode = {"ipMode": "Proxy"} if isinstance(owner, Service) else {}
        entries = [{"ip": ip, "hostname": host, **mode} for ip, host in wanted]
        metadata = meta(owner)
        patch: dict[str, Any] = {
            "metadata": {"uid": metadata.uid},
            "status": {"loadBalancer": {"ingress": entries}},
        }
        try:
            await self._client.patch(
                type(owner),
                metadata.name or "",
                patch,
                metadata.namespace,
                subresource="status",
            )
        except NotFoundError:
            return
        _log.info("status_written", owner=f"{metadata.namespace}/{metadata.name}", at=wanted)

    def _say(self, owner: Owner, kind: EventType, reason: str, message: str) -> None:
        """Record an event, unless it repeats the object's last one."""
        uid = uid_of(owner)
        if self._said.get(uid) != (reason, message):
            self._said[uid] = (reason, message)
            self._events[type(owner)].record(owner, kind, reason, message)


def _health(
    placed: Sequence[tuple[DesiredLoadBalancer, Balancer]], standing: servers.ServerStates
) -> dict[str, dict[str, bool]]:
    found: dict[str, dict[str, bool]] = {}
    for wanted, balancer in placed:
        for group in balancer.groups:
            if group.service:
                _, name = key_parts(target_group_bindings.binding_key(wanted.name, group))
                there = standing.get(backend_name(balancer, group.name), {})
                found[f"{TARGET_HEALTH_PREFIX}{name}"] = {
                    str(target.address): (of := there.get(target.name)) is not None and of.passed
                    for target in group.targets
                }
    return found
