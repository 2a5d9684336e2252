"""The load balancer controller: reconciles all load balancers at each change and periodically.

A reconcile derives the desired load balancers from all objects at once, applies them to HAProxy,
and only then writes status: a status never shows an address at which nothing listens yet. An
invalid object keeps its last-known-good configuration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any, Final

import structlog
from lightkube.resources.core_v1 import Pod, Service
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.resources.networking_v1 import Ingress, IngressClass

from monopod.api.keys import TARGET_HEALTH_PREFIX
from monopod.api.resources import MicroVM
from monopod.api.target_groups import TargetGroupBinding
from monopod.controllers.loadbalancer import readiness_gates, servers, target_group_bindings
from monopod.controllers.loadbalancer.deployer import Deployer, Objects
from monopod.controllers.loadbalancer.desired import (
    DesiredLoadBalancer,
    Owner,
    Shown,
    shown,
    shown_addresses,
)
from monopod.controllers.loadbalancer.events import EventPublisher
from monopod.controllers.loadbalancer.ingress import is_application_balancer
from monopod.controllers.loadbalancer.machine_index import MachineIndex
from monopod.controllers.loadbalancer.model import Balancer
from monopod.controllers.loadbalancer.render_rules import backend_name
from monopod.controllers.loadbalancer.slice_index import SliceIndex
from monopod.kube import (
    Change,
    Client,
    ConflictError,
    Controller,
    Informer,
    Key,
    NotFoundError,
    PatchType,
    key_of,
    key_parts,
    meta,
    name_of,
    namespace_of,
    uid_of,
)
from monopod.node.net.addresses import balancer_host_name

_EVERYTHING: Final = "the load balancers"
"""The queue's single key; no object can have it, as names have no blanks."""
LOOK_EVERY_S: Final = 10.0
_CHECKED_WITHIN_S: Final = 0.5
"""Seconds between two reconciles while pods wait for health checks."""
_log: Final = structlog.get_logger("loadbalancer")


@dataclass(frozen=True, slots=True)
class Informers:
    """Informers whose caches the load balancers are derived from."""

    services: Informer[Service]
    slices: Informer[EndpointSlice]
    ingresses: Informer[Ingress]
    classes: Informer[IngressClass]
    bindings: Informer[TargetGroupBinding]
    pods: Informer[Pod]
    machines: Informer[MicroVM]


class LoadBalancerController(Controller):
    """Reconciles all load balancers of a cluster."""

    def __init__(
        self,
        client: Client,
        views: Informers,
        events: EventPublisher,
        deployer: Deployer,
        *,
        pool: IPv4Network,
        region: str,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Subscribe to the informers; each change enqueues one reconcile of everything.

        Args:
            client: As the user ``monopod:loadbalancer``.
            views: The informers.
            events: Publishes events about Services and Ingresses.
            deployer: Deploys load balancers to HAProxy.
            pool: All addresses that load balancers can have.
            region: The region in their host names.
            look_every_s: Resync period in seconds.
        """
        super().__init__(
            "loadbalancer", self.reconcile, workers=1, initial=(_EVERYTHING,), cap_s=5.0
        )
        self._client = client
        self._views = views
        self._events = events
        self._deployer = deployer
        self._pool = pool
        self._region = region
        self._look_every_s = look_every_s
        self._slices = SliceIndex(views.slices)
        self._owners = MachineIndex(views.machines, lambda: self.enqueue(_EVERYTHING))
        informers: tuple[Informer[Any], ...] = (
            *(views.services, views.slices, views.ingresses, views.classes, views.bindings),
        )
        for informer in informers:
            informer.subscribe(lambda _: self.enqueue(_EVERYTHING))
        views.pods.subscribe(self._pod_changed)

    def _pod_changed(self, change: Change[Pod]) -> None:
        if readiness_gates.gates_of(change.object):
            self.enqueue(_EVERYTHING)

    def _slices_for(self, key: Key) -> Sequence[EndpointSlice]:
        pods = self._views.pods.get
        return readiness_gates.with_waiting(self._owners.owned(self._slices.get(key), pods), pods)

    async def reconcile(self, _: Key) -> float | None:
        """Deploy what the objects request; return the seconds after which to requeue."""
        objects = self._objects()
        deployed = await self._deployer.deploy(objects)
        # HAProxy runs what the objects request, even if statuses cannot be written yet.
        self.first_pass.set()
        placed = deployed.placed
        for refusal in deployed.refusals.values():
            self._events.warn(refusal.owner, "FailedBuildModel", refusal.message)
        for hint in deployed.asked.hints:
            self._events.warn(hint.owner, hint.reason, hint.message)
        places: dict[str, Shown] = {}
        for wanted, balancer in placed:
            host = balancer_host_name(balancer.name, balancer.address, self._region)
            for owner in wanted.owners:
                places[uid_of(owner)] = ((str(balancer.address), host),)
        owners = (*self._views.services.items(), *self._views.ingresses.items())
        self._events.forget_others({uid_of(owner) for owner in owners})
        for owner in owners:
            await self._show(owner, places.get(uid_of(owner), ()))
        for wanted, _balancer in placed:
            for owner in wanted.owners:
                if uid_of(owner) not in deployed.refusals:
                    self._events.reconciled(owner)
        made = target_group_bindings.bindings(wanted for wanted, _ in placed)
        await target_group_bindings.keep(self._client, made, self._views.bindings.items())
        return await self._open_gates(placed, deployed.standing)

    async def _open_gates(
        self, placed: Sequence[tuple[DesiredLoadBalancer, Balancer]], standing: servers.ServerStates
    ) -> float:
        """Write health check results to pods; return the seconds until the next reconcile."""
        pods = [each for each in self._views.pods.items() if readiness_gates.gates_of(each)]
        if not pods:
            return self._look_every_s
        health = _health(placed, standing)
        for pod, patch in readiness_gates.patches(pods, health, datetime.now(UTC)):
            try:
                await self._client.patch(
                    Pod,
                    name_of(pod),
                    patch,
                    namespace_of(pod),
                    kind_of_patch=PatchType.STRATEGIC,
                    subresource="status",
                )
            except (ConflictError, NotFoundError):
                continue
        soon = readiness_gates.outstanding(pods, health)
        return min(_CHECKED_WITHIN_S, self._look_every_s) if soon else self._look_every_s

    def _objects(self) -> Objects:
        classes = {name_of(each): each for each in self._views.classes.items()}
        ours: list[Ingress] = []
        others: list[Ingress] = []
        for each in self._views.ingresses.items():
            if meta(each).deletionTimestamp is None:
                (ours if is_application_balancer(each, classes) else others).append(each)
        everything = {key_of(each): each for each in self._views.services.items()}
        return Objects(everything, ours, self._slices_for, others, classes)

    async def _show(self, owner: Owner, wanted: Shown) -> None:
        """Write the load balancer's address, or its absence, to an object's status."""
        there = shown(owner)
        if there == wanted or (not wanted and not shown_addresses(owner, self._pool)):
            return
        # Mode Proxy, so that kube-proxy does not bypass the load balancer for pods.
        mode = {"ipMode": "Proxy"} if isinstance(owner, Service) else {}
        entries = [{"ip": ip, "hostname": host, **mode} for ip, host in wanted]
        patch: dict[str, Any] = {
            "metadata": {"uid": uid_of(owner)},
            "status": {"loadBalancer": {"ingress": entries}},
        }
        try:
            await self._client.patch(
                type(owner),
                name_of(owner),
                patch,
                namespace_of(owner),
                subresource="status",
            )
        except NotFoundError:
            return
        _log.info("status_written", owner=key_of(owner), at=wanted)


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
