"""Garbage-collects host resources, Nodes and certificate requests whose MicroVM is gone.

Every removal is logged with its reason. Each pass lists the host's machines, not a cache of them.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

import structlog
from lightkube.resources.certificates_v1 import CertificateSigningRequest
from lightkube.resources.core_v1 import Node

from monopod.api import keys
from monopod.api.resources import MicroVM
from monopod.controllers.microvm import termination
from monopod.controllers.microvm.context import Context
from monopod.identity.errors import IdentityError
from monopod.kube import (
    Change,
    Deleted,
    Informer,
    KubeError,
    NotFoundError,
    labels_of,
    meta,
    name_of,
    uid_of,
)
from monopod.node.provider import Presence, ProviderError

_REQUEST_LIFE: Final = timedelta(minutes=2)
_BATCH_S: Final = 0.2
_log: Final = structlog.get_logger("garbage")


class GarbageCollector:
    """Collects garbage periodically and whenever a MicroVM was deleted."""

    def __init__(
        self,
        context: Context,
        machines: Informer[MicroVM],
        nodes: Informer[Node],
        requests: Informer[CertificateSigningRequest],
        enqueue: Callable[[str], None],
    ) -> None:
        """Subscribe to MicroVMs.

        Args:
            context: The controller's collaborators.
            machines: All MicroVMs.
            nodes: All nodes.
            requests: All certificate signing requests.
            enqueue: Enqueues a machine.
        """
        self._context = context
        self._machines = machines
        self._nodes = nodes
        self._requests = requests
        self._enqueue = enqueue
        self._wanted = asyncio.Event()
        machines.subscribe(self._machine_changed)

    async def run(self) -> None:
        """Collect until cancelled."""
        while True:
            self._wanted.clear()
            await self.try_to_collect()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._context.settings.collect_every_s):
                    await self._wanted.wait()
                    await asyncio.sleep(_BATCH_S)

    async def observe(self) -> Mapping[str, Presence]:
        """List the host's machines; enqueues those whose presence changed."""
        observed = self._context.observed
        began = observed.mark()
        found = await self._context.provider.present()
        for name in observed.record_listing(found, began):
            self._enqueue(name)
        return found

    async def try_to_collect(self) -> None:
        """Collect once; what cannot be removed is retried in the next pass."""
        try:
            await self.collect()
        except (KubeError, ProviderError, IdentityError, OSError) as error:
            _log.warning("garbage_collection_failed", why=str(error))

    async def collect(self) -> None:
        """Remove every machine, Node and request whose MicroVM is gone; enqueue all MicroVMs."""
        present = set(await self.observe())
        for name in [each for each in present if self._machines.get(each) is None]:
            try:
                await termination.terminate(self._context, name, "no MicroVM object has its name")
            except ProviderError as error:
                # Of a host that does not answer: the rest is collected.
                _log.warning("machine_not_removed", machine=name, why=str(error))
                continue
            present.discard(name)
        for name in self._context.pulls.machines():
            if self._machines.get(name) is None:
                self._context.pulls.remove(name)
        self._context.addresses.sweep(present)
        await self._context.resting.flush()
        await self._collect_nodes()
        await self._collect_requests()
        for machine in self._machines.items():
            self._enqueue(name_of(machine))

    async def _collect_nodes(self) -> None:
        alive = {uid_of(machine) for machine in self._machines.items()}
        for node in self._nodes.items():
            owners = [o.uid for o in meta(node).ownerReferences or () if o.kind == "MicroVM"]
            ours = bool(owners) or keys.MACHINE_LABEL in labels_of(node)
            name = name_of(node)
            if not ours or alive.intersection(owners) or not name.startswith(keys.NODE_PREFIX):
                continue
            _log.info("node_delete", node=name, why="its MicroVM object is gone")
            with contextlib.suppress(NotFoundError):
                await self._context.client.delete(Node, name, uid=uid_of(node))

    async def _collect_requests(self) -> None:
        for request in self._requests.items():
            metadata = meta(request)
            created = metadata.creationTimestamp
            if keys.MACHINE_LABEL not in (metadata.labels or {}) or created is None:
                continue
            if self._context.now() - created < _REQUEST_LIFE:
                continue
            _log.info("certificate_request_delete", request=metadata.name, why="it is abandoned")
            with contextlib.suppress(NotFoundError):
                await self._context.client.delete(
                    CertificateSigningRequest, name_of(request), uid=metadata.uid
                )

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        if isinstance(change, Deleted):
            self._wanted.set()
