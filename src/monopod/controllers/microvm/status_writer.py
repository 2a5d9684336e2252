"""Writes MicroVM objects, each guarded by the resource version that the decision was based on."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from monopod.api.resources import Condition, MicroVM
from monopod.controllers.microvm import conditions
from monopod.kube import Client, meta, name_of
from monopod.node.provider import MachineExit

Clock = Callable[[], datetime]


class StatusWriter:
    """Patches the status and the finalizers of MicroVM objects."""

    def __init__(self, client: Client, now: Clock) -> None:
        self._client = client
        self._now = now

    async def status(
        self, machine: MicroVM, *changed: Condition, **fields: str | int | None
    ) -> MicroVM:
        """Change conditions and fields of a machine's status; returns the newer object.

        Args:
            machine: The object that the decision was based on.
            changed: Its new conditions; the others stay.
            fields: Its new fields; None removes one.

        Raises:
            ConflictError: The object changed since the decision; reconcile again.
        """
        old = machine.status_or_empty.conditions
        new = conditions.set_in(old, *changed, now=self._now())
        return await self._patch(
            machine,
            {"status": {**fields, "conditions": [condition.to_dict() for condition in new]}},
            "status",
        )

    async def relaunch(self, machine: MicroVM, ended: MachineExit) -> MicroVM:
        """Reset a machine's status but for its addresses, with one failed attempt, to relaunch it.

        Raises:
            ConflictError: The object changed since the decision; reconcile again.
        """
        old = machine.status_or_empty.conditions
        kept = [each for each in old if each.type == conditions.ADDRESSED]
        failed = conditions.of_exit(conditions.LAUNCHED, False, ended)
        new = conditions.set_in(kept, failed, now=self._now())
        status = {"attempts": 1, "conditions": [condition.to_dict() for condition in new]}
        return await self._patch(machine, {"status": status}, "status")

    async def finalizers(self, machine: MicroVM, finalizers: list[str]) -> MicroVM:
        """Set an object's finalizers.

        Raises:
            ConflictError: The object changed since the decision; reconcile again.
        """
        return await self._patch(machine, {"metadata": {"finalizers": finalizers}})

    async def _patch(
        self, machine: MicroVM, patch: dict[str, Any], subresource: str | None = None
    ) -> MicroVM:
        metadata = meta(machine)
        guard = {"uid": metadata.uid, "resourceVersion": metadata.resourceVersion}
        patch = {**patch, "metadata": {**patch.get("metadata", {}), **guard}}
        return await self._client.patch(MicroVM, name_of(machine), patch, subresource=subresource)
