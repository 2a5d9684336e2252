"""Enforces security groups: reconciles their filters with SecurityGroup and MicroVM objects."""

from typing import Any, Final

from monopod.api.resources import MicroVM
from monopod.api.security_groups import SecurityGroup
from monopod.controllers.vpc import security_groups
from monopod.controllers.vpc.filter_table import GROUPS
from monopod.controllers.vpc.filter_writer import FilterWriter
from monopod.kube import Change, Controller, Key, Manager, Modified, NotFoundError
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.firewall import Firewall
from monopod.node.net.namespaces import Namespace

_FILTERS: Final = "the filters"
"""Key of the table in the queue; no group has this name, because names contain no spaces."""
_LOOK_EVERY_S: Final = 15.0


class SecurityGroupController(Controller):
    """Reconciles the groups' filters, and reports each group's members in its status."""

    def __init__(
        self, manager: Manager, plan: ClusterNetwork, *, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        """Subscribe to the informers.

        Args:
            manager: Of a client that is authenticated as ``monopod:vpc``.
            plan: The network of the cluster in whose router groups are enforced.
            look_every_s: Resync period in seconds.
        """
        super().__init__("security-groups", self.reconcile, workers=1, initial=(_FILTERS,))
        self._client = manager.client
        self._plan = plan
        self._look_every_s = look_every_s
        self._filters = FilterWriter(Firewall(Namespace.named(plan.router_name)), GROUPS)
        self._groups = manager.informer(SecurityGroup)
        self._machines = manager.informer(MicroVM)
        self._groups.subscribe(self._group_changed)
        self._machines.subscribe(self._machine_changed)

    async def reconcile(self, key: Key) -> float | None:
        """Reconcile the filters, or the status of one SecurityGroup."""
        if key != _FILTERS:
            await self._report(key)
            return None
        wanted = security_groups.filters(self._plan, self._groups.items(), self._machines.items())
        await self._filters.write(wanted)
        return self._look_every_s

    def _group_changed(self, change: Change[SecurityGroup]) -> None:
        """Enqueue the filters only on a change of spec; this controller writes the status."""
        if not isinstance(change, Modified) or change.old.spec != change.object.spec:
            self.enqueue(_FILTERS)
            before = (change.old,) if isinstance(change, Modified) else ()
            for name in security_groups.references((change.object, *before)):
                self.enqueue(name)
        self.enqueue(change.key)

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        """Enqueue only on a change of address; nothing else of a machine affects filters."""
        now = security_groups.pod_address(change.object)
        if isinstance(change, Modified) and security_groups.pod_address(change.old) == now:
            return
        self.enqueue(_FILTERS)
        for name in security_groups.groups_of(change.object):
            self.enqueue(name)

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
