"""Keeps security groups enforced, in step with SecurityGroup and MicroVM objects."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from monopod.api.resources import MicroVM
from monopod.api.security_groups import SecurityGroup
from monopod.kube import Change, Client, Controller, Informer, Key, Modified, NotFoundError
from monopod.network import groups
from monopod.network.filter_keeper import FilterKeeper
from monopod.network.filter_table import GROUPS
from monopod.network.firewall import Firewall
from monopod.network.namespaces import Namespace
from monopod.network.plan import Plan

_FILTERS: Final = "the filters"
"""A key that no group can have: names have no blanks."""
_LOOK_EVERY_S: Final = 15.0


class GroupController:
    """Keeps the groups' filters, and says in each group's status how many members it has."""

    def __init__(self, client: Client, plan: Plan, *, look_every_s: float = _LOOK_EVERY_S) -> None:
        """Describe the work.

        Args:
            client: As the user ``monopod:network``.
            plan: Of the cluster in whose router groups are enforced.
            look_every_s: Seconds between two looks at the kernel when nothing changes.
        """
        self._client = client
        self._plan = plan
        self._look_every_s = look_every_s
        self._keeper = FilterKeeper(Firewall(Namespace.named(plan.router_name)), GROUPS)
        self._groups = Informer(client, SecurityGroup)
        self._machines = Informer(client, MicroVM)
        self._controller = Controller("security-groups", self._reconcile, workers=1)
        self._in_place = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Work until cancelled; ``ready`` is called when the filters first are in place."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._groups.run())
            group.create_task(self._machines.run())
            # What stood before we started stands until everything is known again.
            await self._groups.synced()
            await self._machines.synced()
            self._groups.subscribe(self._group_changed)
            self._machines.subscribe(self._machine_changed)
            self._controller.enqueue(_FILTERS)
            group.create_task(self._controller.run())
            await self._in_place.wait()
            ready()

    def _group_changed(self, change: Change[SecurityGroup]) -> None:
        """Their status is ours, and nothing to the filters."""
        if not isinstance(change, Modified) or change.old.spec != change.object.spec:
            self._controller.enqueue(_FILTERS)
            before = (change.old,) if isinstance(change, Modified) else ()
            for name in groups.references((change.object, *before)):
                self._controller.enqueue(name)
        self._controller.enqueue(change.key)

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        """Machines report much that is nothing to us: only their addresses count."""
        now = groups.pod_address(change.object)
        if isinstance(change, Modified) and groups.pod_address(change.old) == now:
            return
        self._controller.enqueue(_FILTERS)
        for name in groups.groups_of(change.object):
            self._controller.enqueue(name)

    async def _reconcile(self, key: Key) -> float | None:
        if key != _FILTERS:
            await self._report(key)
            return None
        wanted = groups.filters(self._plan, self._groups.items(), self._machines.items())
        await self._keeper.keep(wanted)
        self._in_place.set()
        return self._look_every_s

    async def _report(self, name: str) -> None:
        group = self._groups.get(name)
        if group is None:
            return
        # Those count that have no address yet: they are about to get one.
        count = sum(name in groups.groups_of(each) for each in self._machines.items())
        named_by = groups.references(self._groups.items()).get(name, [])
        status = group.status
        if status and (status.members, status.referencedBy) == (count, named_by):
            return
        patch: dict[str, Any] = {"status": {"members": count, "referencedBy": named_by}}
        try:
            await self._client.patch(SecurityGroup, name, patch, subresource="status")
        except NotFoundError:
            return
