"""The MicroVM controller: decides and carries out each machine's next action."""

import math
from dataclasses import dataclass
from typing import Final

import structlog
from lightkube.resources.core_v1 import Node, Pod

from monopod.api.conditions import TRUE
from monopod.api.constants import CAPACITY_UNAVAILABLE, HOST_CORDONED
from monopod.api.resources import MicroVM, Subnet
from monopod.controllers.microvm import actions, conditions, decide, state, termination
from monopod.controllers.microvm.actions import Requeue
from monopod.controllers.microvm.boot_limiter import BootLimiter
from monopod.controllers.microvm.context import Context
from monopod.controllers.microvm.handlers import Handlers
from monopod.kube import (
    Change,
    Controller,
    Deleted,
    Informer,
    Key,
    MutationCache,
    key_of,
    make_key,
    name_of,
    uid_of,
)
from monopod.node.provider import MachineExit

_STEPS_AT_ONCE: Final = 32
_LOST_TRACK_S: Final = 1.0
_log: Final = structlog.get_logger("microvm")


@dataclass(frozen=True, slots=True)
class Informers:
    """Informers whose caches the decisions are made from."""

    machines: Informer[MicroVM]
    pods: Informer[Pod]
    nodes: Informer[Node]
    subnets: Informer[Subnet]


class MicroVMController(Controller):
    """Reconciles every MicroVM from its address to its termination."""

    def __init__(self, context: Context, views: Informers, workers: int = 32) -> None:
        """Subscribe to the informers, which enqueue machines by name."""
        super().__init__("microvm", self.reconcile, workers=workers)
        self._context = context
        self._views = views
        # An older object, without its conditions, looks like a new one of the same name, whose
        # machine would be terminated. So a write wins until the informer shows it.
        self._machines = MutationCache(views.machines, trusted_s=math.inf)
        self._by_pod: dict[str, Key] = {}
        self._by_node: dict[str, Key] = {}
        self._boot_limiter = BootLimiter(context.provider.boots_at_once)
        self._without_address: set[Key] = set()
        self._without_room: set[Key] = set()
        self._handlers = Handlers(
            context,
            self._boot_limiter,
            wrote=self._wrote,
            boot_ended=self._enqueue_next_boot,
            room_freed=self._room_freed,
        )
        views.machines.subscribe(self._machine_changed)
        views.pods.subscribe(self._pod_changed)
        views.nodes.subscribe(self._node_changed)
        views.subnets.subscribe(self._subnet_changed)

    def ended(self, ended: MachineExit) -> None:
        """Record that a machine ended without being terminated, and enqueue it."""
        _log.info("machine_ended", machine=ended.name, reason=ended.reason)
        self._context.observed.record_exit(ended)
        self.enqueue(ended.name)

    def uncordoned(self) -> None:
        """Record that the host takes new machines, and enqueue those that wait for that."""
        _log.info("host_uncordoned")
        self._context.observed.uncordoned_at = self._context.now()
        self._room_freed()

    async def reconcile(self, key: Key) -> float | None:
        """Execute a machine's next actions; return the seconds after which to requeue it."""
        for _ in range(_STEPS_AT_ONCE):
            machine = self._machines.get(key)
            if machine is None:
                return None
            current = self._state(machine)
            action = decide.decide(current, self._context.settings)
            if isinstance(action, Requeue):
                until = action.until
                return None if until is None else (until - current.now).total_seconds()
            _log.debug("action", machine=key, action=type(action).__name__)
            if not await self._handlers.handle(machine, action):
                no_address = isinstance(action, actions.AllocateAddress)
                return decide.ADDRESS_S if no_address else None
        return _LOST_TRACK_S

    def _state(self, machine: MicroVM) -> state.State:
        name, reference = name_of(machine), machine.spec.podRef
        pod = self._views.pods.get(make_key(reference.name, reference.namespace))
        node_name = machine.status_or_empty.nodeName
        node = self._views.nodes.get(node_name) if node_name else None
        observed = self._context.observed
        now = self._context.now()
        return state.State(
            machine=machine,
            pod=state.ANY_POD if machine.is_worker_node else state.of_pod(pod, machine),
            node=state.of_node(node, machine),
            presence=observed.presence(name),
            remote=self._context.provider.remote,
            ended=observed.ended(name),
            may_boot=conditions.holds(machine, conditions.LAUNCHED)
            or self._boot_limiter.is_next(name, now),
            burst_ended=observed.burst_ended(name),
            room_at=observed.room_at,
            uncordoned_at=observed.uncordoned_at,
            refused_at=observed.refused_at(name),
            silence=(
                self._context.leases.silence(node_name)
                if conditions.find(machine, conditions.READY) is not None
                else None
            ),
            now=now,
            addresses_held=self._context.addresses.holds(machine),
        )

    def _enqueue_next_boot(self) -> None:
        for name in self._boot_limiter.next():
            self.enqueue(name)

    def _room_freed(self) -> None:
        for name in self._without_room:
            self.enqueue(name)
        self._enqueue_next_boot()

    def _wrote(self, machine: MicroVM) -> None:
        # A response of the API server can arrive after the informer's deletion event.
        if self._views.machines.get(key_of(machine)) is not None:
            self._machines.note(machine)
            self._note_boot(key_of(machine))

    def _note_boot(self, key: Key) -> None:
        if (newest := self._machines.get(key)) is not None:
            self._boot_limiter.note(newest)

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        machine, uid = change.object, change.object.spec.podRef.uid
        node = machine.status_or_empty.nodeName
        if isinstance(change, Deleted):
            self._by_pod.pop(uid, None)
            self._by_node.pop(node, None)
            self._context.observed.forget(change.key)
            self._context.leases.forget(node)
            exists = self._context.observed.presence(change.key) is not None
            # Again, for an object whose finalizer someone else removed.
            termination.rest_name(self._context, machine)
            self._context.addresses.release(machine, exists=exists)
            self._boot_limiter.forget(change.key)
            self._without_room.discard(change.key)
            self._without_address.discard(change.key)
            self._address_freed()
        else:
            self._context.addresses.note(machine)
            self._note_boot(change.key)
            self._sort(change.key, machine)
            self._by_pod[uid] = change.key
            if node:
                self._by_node[node] = change.key
        self.enqueue(change.key)

    def _sort(self, key: Key, machine: MicroVM) -> None:
        """Record whether a machine waits for an address or capacity that others free."""
        addressed = conditions.find(machine, conditions.ADDRESSED)
        launched = conditions.find(machine, conditions.LAUNCHED)
        for waiting, among in (
            (addressed is not None and addressed.status != TRUE, self._without_address),
            (
                launched is not None and launched.reason in (CAPACITY_UNAVAILABLE, HOST_CORDONED),
                self._without_room,
            ),
        ):
            (among.add if waiting else among.discard)(key)

    def _pod_changed(self, change: Change[Pod]) -> None:
        if (key := self._by_pod.get(uid_of(change.object))) is not None:
            self.enqueue(key)

    def _node_changed(self, change: Change[Node]) -> None:
        if (key := self._by_node.get(change.key)) is not None:
            self.enqueue(key)

    def _subnet_changed(self, change: Change[Subnet]) -> None:
        del change
        self._address_freed()

    def _address_freed(self) -> None:
        for name in self._without_address:
            self.enqueue(name)
