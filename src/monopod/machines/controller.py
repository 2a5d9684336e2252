"""Decide, act, look again: the loop over every machine's next step."""

from dataclasses import dataclass
from typing import Final

import structlog
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.conditions import TRUE
from monopod.api.resources import MicroVM, MicroVMStatus, Subnet
from monopod.api.words import CAPACITY_UNAVAILABLE
from monopod.capacity import Ended
from monopod.kube import Change, Controller, Deleted, Informer, Key, identity, make_key, meta
from monopod.machines import (
    addressing,
    conditions,
    decision,
    ending,
    facts,
    launching,
    phases,
    steps,
)
from monopod.machines.desk import Desk
from monopod.machines.steps import Step, Wait
from monopod.machines.turns import Turns

_STEPS_AT_ONCE: Final = 32
_LOST_TRACK_S: Final = 1.0
_log: Final = structlog.get_logger("machines")


@dataclass(frozen=True, slots=True)
class Views:
    """Live copies of what decisions are made from."""

    machines: Informer[MicroVM]
    pods: Informer[Pod]
    nodes: Informer[Node]
    subnets: Informer[Subnet]


class Machines:
    """Takes every MicroVM through its life."""

    def __init__(self, desk: Desk, views: Views, workers: int = 32) -> None:
        """Connect the views to a queue of machines' names."""
        self._desk = desk
        self._views = views
        self._newest: dict[Key, MicroVM] = {}
        self._by_pod: dict[str, Key] = {}
        self._by_node: dict[str, Key] = {}
        self._turns = Turns(desk.capacity.boots_at_once)
        self._without_address: set[Key] = set()
        self._without_room: set[Key] = set()
        self._controller = Controller("machines", self._reconcile, workers=workers)
        views.machines.subscribe(self._machine_changed)
        views.pods.subscribe(self._pod_changed)
        views.nodes.subscribe(self._node_changed)
        views.subnets.subscribe(self._subnet_changed)

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting, delayed or being worked on."""
        return self._controller.idle

    async def run(self) -> None:
        """Work until cancelled; the views must be complete by now."""
        await self._controller.run()

    def look_at(self, name: str) -> None:
        """Have a machine looked at soon."""
        self._controller.enqueue(name)

    def ended(self, ended: Ended) -> None:
        """Take in that a machine ended by itself."""
        _log.info("ended", machine=ended.name, reason=ended.reason)
        self._desk.sightings.has_ended(ended)
        self.look_at(ended.name)

    async def _reconcile(self, key: Key) -> float | None:
        for _ in range(_STEPS_AT_ONCE):
            machine = self._current(key)
            if machine is None:
                # An answer of the API server's can be older than the end that the view has shown.
                self._turns.forget(key)
                return None
            seen = self._facts(machine)
            step = decision.next_step(seen, self._desk.settings.limits)
            if isinstance(step, Wait):
                return None if step.until is None else (step.until - seen.now).total_seconds()
            _log.debug("step", machine=key, step=type(step).__name__)
            if not await self._act(machine, step):
                no_address = isinstance(step, steps.AllocateAddress)
                return self._desk.settings.limits.address_s if no_address else None
        return _LOST_TRACK_S

    async def _act(self, machine: MicroVM, step: Step) -> bool:  # noqa: PLR0911, PLR0912
        """Do a step; says whether the next can follow at once or awaits word from a view."""
        desk, name = self._desk, meta(machine).name or ""
        match step:
            case steps.AddFinalizer():
                rest = meta(machine).finalizers or []
                self._wrote(await desk.records.finalizers(machine, [*rest, keys.MACHINE_FINALIZER]))
            case steps.AllocateAddress():
                self._wrote(changed := await addressing.allocate(desk, machine))
                return conditions.holds(changed, conditions.ADDRESSED)
            case steps.Queue():
                message = "waits while as many others boot as this host boots well at once"
                self._wrote(
                    await desk.records.status(
                        machine,
                        conditions.changed(conditions.LAUNCHED, False, decision.QUEUED, message),
                    )
                )
            case steps.Launch():
                await self._launch(machine)
            case steps.MarkLaunched():
                self._wrote(await launching.mark_launched(desk, machine))
            case steps.MarkLaunchFailed(reason, message):
                await self._launch_failed(machine, reason, message)
            case steps.MarkRegistered():
                await self._mark(machine, conditions.REGISTERED, "KubeletRegistered", "")
            case steps.MarkReady(ready, reason, message):
                await self._mark(machine, conditions.READY, reason, message, holds=ready)
                self._next_turn()
            case steps.Listen():
                await desk.pulses.ask(desk.client, (machine.status or MicroVMStatus()).nodeName)
            case steps.Settle():
                await desk.capacity.settle(name)
                desk.sightings.has_settled(name)
            case steps.ResumeBurst():
                await desk.capacity.resume_burst(name)
                desk.sightings.bursts(name)
            case steps.MarkTerminated():
                phases.lost(step.reason)
                self._wrote(await ending.mark_terminated(desk, machine, step))
            case steps.BeginAnew(reason, message):
                self._wrote(await desk.records.begin_anew(machine, reason, message))
            case steps.LosePod(why):
                await ending.lose_pod(desk, machine, why)
                return False
            case steps.Delete():
                return not await ending.delete(desk, machine, step)
            case steps.Terminate(why):
                await ending.terminate(desk, name, why)
                self._room_freed()
            case steps.DeleteNode():
                await ending.delete_node(desk, machine)
                return False
            case steps.RemoveFinalizer():
                await ending.remove_finalizer(desk, machine)
                return False
            case Wait():
                return False
        return True

    async def _launch(self, machine: MicroVM) -> None:
        with self._turns.launching(meta(machine).name or ""):
            self._wrote(changed := await launching.launch(self._desk, machine))
        if conditions.holds(changed, conditions.LAUNCHED):
            phases.reached(changed, conditions.LAUNCHED)
        else:
            self._next_turn()

    async def _launch_failed(self, machine: MicroVM, reason: str, message: str) -> None:
        self._desk.voice.not_launched(machine, message)
        changed = [conditions.changed(conditions.LAUNCHED, False, reason, message)]
        if conditions.holds(machine, conditions.REGISTERED):
            changed.append(conditions.changed(conditions.REGISTERED, False, reason, message))
        self._wrote(await self._desk.records.status(machine, *changed))
        self._next_turn()

    async def _mark(
        self, machine: MicroVM, kind: str, reason: str, message: str, *, holds: bool = True
    ) -> None:
        first = conditions.find(machine, kind) is None
        condition = conditions.changed(kind, holds, reason, message)
        self._wrote(changed := await self._desk.records.status(machine, condition))
        if first and holds:
            phases.reached(changed, kind)

    def _facts(self, machine: MicroVM) -> facts.Facts:
        name, reference = meta(machine).name or "", machine.spec.podRef
        pod = self._views.pods.get(make_key(reference.name, reference.namespace))
        node_name = (machine.status or MicroVMStatus()).nodeName
        node = self._views.nodes.get(node_name) if node_name else None
        sightings = self._desk.sightings
        now = self._desk.now()
        return facts.Facts(
            machine=machine,
            pod=facts.ANY_POD if machine.spec.podCIDR else facts.of_pod(pod, machine),
            node=facts.of_node(node, machine),
            presence=sightings.presence(name),
            ended=sightings.ended(name),
            turn=conditions.holds(machine, conditions.LAUNCHED)
            or self._turns.is_turn_of(name, now),
            settled=sightings.settled(name),
            room_at=sightings.room_at,
            refused_at=sightings.refused_at(name),
            silence=(
                self._desk.pulses.silence(node_name)
                if conditions.find(machine, conditions.READY) is not None
                else None
            ),
            now=now,
            addresses_held=self._desk.addresses.holds(machine),
        )

    def _next_turn(self) -> None:
        for name in self._turns.next():
            self.look_at(name)

    def _room_freed(self) -> None:
        for name in self._without_room:
            self.look_at(name)
        self._next_turn()

    def _current(self, key: Key) -> MicroVM | None:
        machine = self._views.machines.get(key)
        return None if machine is None else self._current_of(machine)

    def _current_of(self, machine: MicroVM) -> MicroVM:
        """Our own last write, until the view has caught up with it."""
        key = meta(machine).name or ""
        written = self._newest.get(key)
        if written is None:
            return machine
        if identity(written) == identity(machine) and _version(written) > _version(machine):
            return written
        del self._newest[key]
        return machine

    def _wrote(self, machine: MicroVM) -> None:
        self._newest[meta(machine).name or ""] = machine
        self._turns.note(machine)

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        machine, uid = change.object, change.object.spec.podRef.uid
        node = (machine.status or MicroVMStatus()).nodeName
        if isinstance(change, Deleted):
            self._newest.pop(change.key, None)
            self._by_pod.pop(uid, None)
            self._by_node.pop(node, None)
            self._desk.sightings.forget(change.key)
            self._desk.pulses.forget(node)
            exists = self._desk.sightings.presence(change.key) is not None
            self._desk.addresses.release(machine, exists=exists)
            self._turns.forget(change.key)
            self._without_room.discard(change.key)
            self._without_address.discard(change.key)
            self._address_freed()
        else:
            self._desk.addresses.note(machine)
            self._turns.note(self._current_of(machine))
            self._sort(change.key, machine)
            self._by_pod[uid] = change.key
            if node:
                self._by_node[node] = change.key
        self.look_at(change.key)

    def _sort(self, key: Key, machine: MicroVM) -> None:
        """Remember whether a machine waits for what others free."""
        addressed = conditions.find(machine, conditions.ADDRESSED)
        launched = conditions.find(machine, conditions.LAUNCHED)
        for waiting, among in (
            (addressed is not None and addressed.status != TRUE, self._without_address),
            (
                launched is not None and launched.reason == CAPACITY_UNAVAILABLE,
                self._without_room,
            ),
        ):
            (among.add if waiting else among.discard)(key)

    def _pod_changed(self, change: Change[Pod]) -> None:
        if (key := self._by_pod.get(identity(change.object))) is not None:
            self.look_at(key)

    def _node_changed(self, change: Change[Node]) -> None:
        if (key := self._by_node.get(change.key)) is not None:
            self.look_at(key)

    def _subnet_changed(self, change: Change[Subnet]) -> None:
        del change
        self._address_freed()

    def _address_freed(self) -> None:
        for name in self._without_address:
            self.look_at(name)


def _version(machine: MicroVM) -> int:
    # Comparable since Kubernetes 1.35 (KEP 5504); etcd's revision before that.
    return int(meta(machine).resourceVersion or 0)
