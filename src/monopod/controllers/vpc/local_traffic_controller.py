"""Reconciles routes to node-local endpoints with Services, EndpointSlices and MicroVMs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from lightkube.resources.core_v1 import Service
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.api.resources import MicroVM
from monopod.controllers.vpc.filter_writer import fingerprint
from monopod.controllers.vpc.local_table import TABLE, local_table
from monopod.controllers.vpc.local_traffic import Route, is_local, routes, service_of
from monopod.kube import Change, Client, Controller, Informer, Key, Modified
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.firewall import Firewall
from monopod.node.net.namespaces import Namespace

_ROUTES: Final = "the routes"
_LOOK_EVERY_S: Final = 15.0
_log: Final = structlog.get_logger("vpc")


class LocalTrafficController:
    """Reconciles the router's table for services with ``internalTrafficPolicy: Local``."""

    def __init__(
        self, client: Client, plan: ClusterNetwork, *, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        """Set up informers and queue.

        Args:
            client: Authenticated as ``monopod:vpc``.
            plan: The network of the cluster whose router translates the connections.
            look_every_s: Resync period in seconds.
        """
        self._look_every_s = look_every_s
        self._firewall = Firewall(Namespace.named(plan.router_name))
        self._services = Informer(client, Service)
        self._slices = Informer(client, EndpointSlice)
        self._machines = Informer(client, MicroVM)
        self._controller = Controller("local-traffic", self._reconcile, workers=1)
        self._applied: Sequence[Route] | None = None
        self._standing = ""
        self._in_place = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Run until cancelled; ``ready`` is called once the routes are first applied."""
        informers: tuple[Informer[Any], ...] = (self._services, self._slices, self._machines)
        async with asyncio.TaskGroup() as group:
            for informer in informers:
                group.create_task(informer.run())
            # The existing table stays in force until all informers have synced.
            for informer in informers:
                await informer.synced()
            self._services.subscribe(self._service_changed)
            self._slices.subscribe(self._slice_changed)
            self._machines.subscribe(self._machine_changed)
            self._controller.enqueue(_ROUTES)
            group.create_task(self._controller.run())
            await self._in_place.wait()
            ready()

    def _service_changed(self, change: Change[Service]) -> None:
        before = isinstance(change, Modified) and is_local(change.old)
        if before or is_local(change.object):
            self._controller.enqueue(_ROUTES)

    def _slice_changed(self, change: Change[EndpointSlice]) -> None:
        service = self._services.get(service_of(change.object))
        if service is not None and is_local(service):
            self._controller.enqueue(_ROUTES)

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        """Enqueue only on a change of address or node name; nothing else affects routes."""
        if not isinstance(change, Modified) or _facts(change.old) != _facts(change.object):
            self._controller.enqueue(_ROUTES)

    async def _reconcile(self, _: Key) -> float | None:
        wanted = routes(self._services.items(), self._slices.items(), self._machines.items())
        if wanted != self._applied or await self._fingerprint() != self._standing:
            self._applied = None
            await self._firewall.apply(local_table(wanted))
            self._standing = await self._fingerprint()
            self._applied = wanted
            _log.info("local_endpoint_routes_updated", routes=len(wanted))
        self._in_place.set()
        return self._look_every_s

    async def _fingerprint(self) -> str:
        return fingerprint(await self._firewall.listing(TABLE))


def _facts(machine: MicroVM) -> object:
    return None if machine.status is None else (machine.status.podAddress, machine.status.nodeName)
