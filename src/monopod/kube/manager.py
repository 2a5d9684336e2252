"""Runs the controllers of one process: shared informers, then first passes, then workers.

The order is controller-runtime's: controllers start after every informer's first list, and the
process is ready after each controller's first pass.

With leader election, the informers of every replica are warm and the controllers of one act. A
replica that stands by is ready too: it can take over. Until it does, its informers call no
controller back: queues and indexes would grow with every object that comes and goes.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from lightkube.core import resource as res

from monopod.kube.client import Client
from monopod.kube.controller import Controller
from monopod.kube.events import EventRecorder
from monopod.kube.informer import Informer
from monopod.kube.leader_election import (
    ElectionConfig,
    LeaderElector,
    LeadershipLostError,
    end_process,
)

_T = TypeVar("_T", bound=res.Resource)
Work = Callable[[], Coroutine[Any, Any, None]]
"""A coroutine that runs until cancelled, or once."""


@dataclass(frozen=True, slots=True)
class _Part:
    run: Work
    prepare: Work | None
    first_pass: asyncio.Event | None


class Manager:
    """The controllers of one process, with their shared informers and recorders."""

    def __init__(
        self,
        client: Client,
        election: ElectionConfig | None = None,
        *,
        lost: Callable[[LeadershipLostError], None] = end_process,
    ) -> None:
        """Create a manager without informers and controllers.

        Args:
            client: Used by the informers, recorders and controllers.
            election: The Lease without which no controller acts. None means no leader election.
            lost: Called if another replica may lead from now on; ends the process.
        """
        self._elector = None if election is None else LeaderElector(client.for_renewals(), election)
        self._lost = lost
        self.client = client if self._elector is None else client.guarded(self._elector.check)
        """Of controllers: it sends no write while another replica may lead."""
        self._informers: dict[tuple[object, ...], Informer[Any]] = {}
        self._recorders: dict[str, EventRecorder] = {}
        self._parts: list[_Part] = []

    def informer(
        self,
        kind: type[_T],
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
    ) -> Informer[_T]:
        """Return the process's shared informer of these objects.

        Args:
            kind: Class of the objects.
            namespace: Only in this namespace.
            labels: A label selector.
            fields: A field selector.
        """
        wanted = (kind, namespace, labels, fields)
        found = self._informers.get(wanted)
        if found is None:
            found = self._informers[wanted] = Informer(
                self.client,
                kind,
                namespace=namespace,
                labels=labels,
                fields=fields,
                held=self._elector is not None,
            )
        return found

    def recorder(self, component: str) -> EventRecorder:
        """Return the process's shared event recorder of a component.

        Args:
            component: The source, as ``kubectl describe`` shows it under "From".
        """
        if component not in self._recorders:
            self._recorders[component] = EventRecorder(self.client, component)
        return self._recorders[component]

    def add(
        self,
        controller: Controller | Work,
        *,
        prepare: Work | None = None,
        first_pass: asyncio.Event | None = None,
    ) -> None:
        """Add a controller.

        Args:
            controller: Runs until cancelled; started when all informers are synced.
            prepare: Called once before any controller starts, in the order of adding.
            first_pass: Set after its first pass; readiness waits for it. A ``Controller``'s own
                unless given.
        """
        if isinstance(controller, Controller):
            first_pass = first_pass or controller.first_pass
            controller = controller.run
        self._parts.append(_Part(controller, prepare, first_pass))

    async def run(self, ready: Callable[[], None]) -> None:
        """Run everything until cancelled, or until a part of it fails.

        Args:
            ready: Called once, after every controller's first pass, or when this replica stands by
                with informers that are synced.
        """
        async with asyncio.TaskGroup() as group:
            for recorder in self._recorders.values():
                group.create_task(recorder.run())
            for informer in self._informers.values():
                group.create_task(informer.run())
            for informer in self._informers.values():
                await informer.synced()
            if self._elector is None:
                await self._start(group)
                ready()
            else:
                await self._lead(self._elector, ready)

    async def _lead(self, elector: LeaderElector, ready: Callable[[], None]) -> None:
        stood_by = False

        def standing_by() -> None:
            nonlocal stood_by
            if not stood_by:
                stood_by = True
                ready()

        await elector.acquire(standing_by)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renew(elector))
                # The caches may lack what the previous leader wrote last.
                await asyncio.gather(*(each.refresh() for each in self._informers.values()))
                for informer in self._informers.values():
                    informer.deliver()
                await self._start(group)
                if not stood_by:
                    ready()
        finally:
            # Every controller has ended by now.
            await elector.release()

    async def _renew(self, elector: LeaderElector) -> None:
        try:
            await elector.renew()
        except LeadershipLostError as error:
            self._lost(error)
            raise

    async def _start(self, group: asyncio.TaskGroup) -> None:
        """Start every part, and wait for their first passes."""
        for part in self._parts:
            if part.prepare is not None:
                await part.prepare()
        for part in self._parts:
            group.create_task(part.run())
        for part in self._parts:
            if part.first_pass is not None:
                await part.first_pass.wait()
