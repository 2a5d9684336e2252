"""Enforces security groups: reconciles their filters with SecurityGroup and MicroVM objects."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from monopod.api.resources import MicroVM
from monopod.api.security_groups import SecurityGroup
from monopod.controllers.vpc import security_groups
from monopod.controllers.vpc.filter_table import GROUPS
from monopod.controllers.vpc.filter_writer import FilterWriter
from monopod.kube import Change, Client, Controller, Informer, Key, Modified, NotFoundError
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.firewall import Firewall
from monopod.node.net.namespaces import Namespace

_FILTERS: Final = "the filters"
"""Key of the table in the queue; no group has this name, because names contain no spaces."""
_LOOK_EVERY_S: Final = 15.0


class SecurityGroupController:
    """Reconciles the groups' filters, and reports each group's members in its status."""

    def __init__(
        self, client: Client, plan: ClusterNetwork, *, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        """Set up informers and queue.

        Args:
            client: Authenticated as ``monopod:vpc``.
            plan: The network of the cluster in whose router groups are enforced.
            look_every_s: Resync period in seconds.
        """
        self._client = client
        self._plan = plan
        self._look_every_s = look_every_s
        self._keeper = FilterWriter(Firewall(Namespace.named(plan.router_name)), GROUPS)
        self._groups = Informer(client, SecurityGroup)
        self._machines = Informer(client, MicroVM)
        self._controller = Controller("security-groups", self._reconcile, workers=1)
        self._in_place = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Run until cancelled; ``ready`` is called once the filters are first applied."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._groups.run())
            group.create_task(self._machines.run())
            # The existing table stays in force until all informers have synced.
            await self._groups.synced()
            await self._machines.synced()
            self._groups.subscribe(self._group_changed)
            self._machines.subscribe(self._machine_changed)
            self._controller.enqueue(_FILTERS)
            group.create_task(self._controller.run())
            await self._in_place.wait()
            ready()

    def _group_changed(self, change: Change[SecurityGroup]) -> None:
        """Enqueue the filters only on a change of spec; this controller writes the status."""
        if not isinstance(change, Modified) or change.old.spec != change.object.spec:
            self._controller.enqueue(_FILTERS)
            before = (change.old,) if isinstance(change, Modified) else ()
            for name in security_groups.references((change.object, *before)):
                self._controller.enqueue(name)
        self._controller.enqueue(change.key)

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        """Enqueue only on a change of address; nothing else of a machine affects filters."""
        now = security_groups.pod_address(change.object)
        if isinstance(change, Modified) and security_groups.pod_address(change.old) == now:
            return
        self._controller.enqueue(_FILTERS)
        for name in security_groups.groups_of(change.object):
            self._controller.enqueue(name)

    async def _reconcile(self, key: Key) -> float | None:
        if key != _FILTERS:
            await self._report(key)
            return None
        wanted = security_groups.filters(self._plan, self._groups.items(), self._machines.items())
        await self._keeper.keep(wanted)
        self._in_place.set()
        return self._look_every_s

    async def _report(self, name: str) -> None:
        group = self._groups.get(name)
        if group is None:
            return
        # Machines without an address count too: they are about to get one.
        count = sum(name in security_groups.groups_of(each) for each in self._machines.items())
        named_by = security_groups.references(self._groups.items()).get(name, [])
        status = group.status
        if status and (status.members, status.referencedBy) == (count, named_by):
            return
        patch: dict[str, Any] = {"status": {"members": count, "referencedBy": named_by}}
        try:
            await self._client.patch(SecurityGroup, name, patch, subresource="status")
        except NotFoundError:
            return
