"""Reconciles routes to node-local endpoints with Services, EndpointSlices and MicroVMs."""

import functools
from collections.abc import Sequence
from typing import Final

import structlog
from lightkube.resources.core_v1 import Service
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.api.resources import MicroVM
from monopod.controllers.vpc.changes import if_changed
from monopod.controllers.vpc.filter_writer import fingerprint
from monopod.controllers.vpc.local_table import TABLE, local_table
from monopod.controllers.vpc.local_traffic import Route, is_local, routes, service_of
from monopod.kube import Change, Controller, Key, Manager, Modified
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.firewall import Firewall
from monopod.node.net.namespaces import Namespace

_ROUTES: Final = "the routes"
_LOOK_EVERY_S: Final = 15.0
_log: Final = structlog.get_logger("vpc")


class LocalTrafficController(Controller):
    """Reconciles the router's table for services with ``internalTrafficPolicy: Local``."""

    def __init__(
        self, manager: Manager, plan: ClusterNetwork, *, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        """Subscribe to the informers.

        Args:
            manager: Of a client that is authenticated as ``monopod:vpc``.
            plan: The network of the cluster whose router translates the connections.
            look_every_s: Resync period in seconds.
        """
        super().__init__("local-traffic", self.reconcile, workers=1, initial=(_ROUTES,))
        self._look_every_s = look_every_s
        self._firewall = Firewall(Namespace.named(plan.router_name))
        self._applied: Sequence[Route] | None = None
        self._applied_fingerprint = ""
        self._services = manager.informer(Service)
        self._slices = manager.informer(EndpointSlice)
        self._machines = manager.informer(MicroVM)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        # Nothing else of a machine affects routes.
        self._machines.subscribe(if_changed(_facts, functools.partial(self.enqueue, _ROUTES)))

    async def reconcile(self, _: Key) -> float | None:
        """Reconcile the table of routes."""
        wanted = routes(self._services.items(), self._slices.items(), self._machines.items())
        if wanted != self._applied or await self._fingerprint() != self._applied_fingerprint:
            self._applied = None
            await self._firewall.apply(local_table(wanted))
            self._applied_fingerprint = await self._fingerprint()
            self._applied = wanted
            _log.info("local_endpoint_routes_updated", routes=len(wanted))
        return self._look_every_s

    def _service_changed(self, change: Change[Service]) -> None:
        before = isinstance(change, Modified) and is_local(change.old)
        if before or is_local(change.object):
            self.enqueue(_ROUTES)

    def _slice_changed(self, change: Change[EndpointSlice]) -> None:
        service = self._services.get(service_of(change.object))
        if service is not None and is_local(service):
            self.enqueue(_ROUTES)

    async def _fingerprint(self) -> str:
        return fingerprint(await self._firewall.listing(TABLE))


def _facts(machine: MicroVM) -> object:
    return None if machine.status is None else (machine.status.podAddress, machine.status.nodeName)
