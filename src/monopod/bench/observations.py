"""Observes when each phase of each pod's start is reached, on one clock: this process's.

The API server's own times are whole seconds; here the arrival of the watch event counts.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from lightkube.resources.core_v1 import Node, Pod

from monopod.api import conditions, constants
from monopod.api.resources import MicroVM
from monopod.bench.phases import Phase
from monopod.kube import Change, Deleted, name_of, uid_of

_REFUSED: Final = (constants.DRIVER_UNAVAILABLE, constants.SIZE_UNSUPPORTED)


class Observations:
    """Records the first observation of each phase.

    Args:
        clock: Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, dict[Phase, float]] = {}
        self._registered: dict[str, float] = {}
        self._node_of: dict[str, str] = {}
        self._machine_of: dict[str, str] = {}
        self._pods: dict[str, Pod] = {}
        self._machines: set[str] = set()
        self._changed = asyncio.Event()
        self._driver_of: dict[str, str] = {}
        self._refusals: dict[str, str] = {}

    def pod_changed(self, change: Change[Pod]) -> None:
        """Handles a change of a pod."""
        now, uid = self._clock(), uid_of(change.object)
        if isinstance(change, Deleted):
            self._pods.pop(uid, None)
        else:
            pod = self._pods[uid] = change.object
            if pod.spec and pod.spec.nodeName:
                self._node_of[uid] = pod.spec.nodeName
                self._note(uid, Phase.BOUND, now)
            turned = (pod.status.conditions if pod.status else None) or ()
            if any(c.type == constants.READY and c.status == conditions.TRUE for c in turned):
                self._note(uid, Phase.READY, now)
        self._changed.set()

    def machine_changed(self, change: Change[MicroVM]) -> None:
        """Handles a change of a machine."""
        now, machine = self._clock(), change.object
        uid, name = machine.spec.podRef.uid, name_of(machine)
        if isinstance(change, Deleted):
            self._machines.discard(name)
        else:
            self._machines.add(name)
            self._machine_of[uid] = name
            self._note(uid, Phase.CLAIMED, now)
            if machine.status is not None:
                self._driver_of[uid] = machine.status.driver
                launched = conditions.find_condition(machine.status.conditions, constants.LAUNCHED)
                if launched is not None and launched.reason in _REFUSED:
                    self._refusals[uid] = launched.message
                if machine.status.nodeName:
                    self._node_of[uid] = machine.status.nodeName
                if conditions.is_true(machine.status.conditions, constants.LAUNCHED):
                    self._note(uid, Phase.LAUNCHED, now)
        self._changed.set()

    def node_changed(self, change: Change[Node]) -> None:
        """Handles a change of a node: its object exists before its kubelet has reported."""
        now, node = self._clock(), change.object
        info = node.status.nodeInfo if node.status else None
        name = name_of(node)
        if isinstance(change, Deleted):
            self._registered.pop(name, None)
        elif info is not None and info.kubeletVersion:
            self._registered.setdefault(name, now)

    def moments(self, uid: str) -> dict[Phase, float]:
        """Return the clock's time of each observed phase of a pod."""
        found = dict(self._seen.get(uid, {}))
        node = self._node_of.get(uid)
        if uid in self._machine_of and node in self._registered:
            found[Phase.REGISTERED] = self._registered[node]
        return found

    def machine(self, uid: str) -> str | None:
        """Return the name of a pod's machine, or None if it never had one."""
        return self._machine_of.get(uid)

    def node(self, uid: str) -> str | None:
        """Return the name of a pod's node, or None."""
        return self._node_of.get(uid)

    def is_ready(self, uid: str) -> bool:
        """Return whether a pod has ever been Ready."""
        return Phase.READY in self._seen.get(uid, {})

    def driver(self, uid: str) -> str:
        """Return the driver of a pod's machine; empty if it never had one."""
        return self._driver_of.get(uid, "")

    def refusal(self, uid: str) -> str:
        """Return why this host has no machine for a pod; empty if it was not rejected."""
        return self._refusals.get(uid, "")

    def is_decided(self, uid: str) -> bool:
        """Return whether a pod has ever been Ready, or its machine was rejected."""
        return self.is_ready(uid) or uid in self._refusals

    def is_gone(self, uid: str) -> bool:
        """Return whether both a pod and its machine are deleted."""
        return uid not in self._pods and self._machine_of.get(uid) not in self._machines

    def waiting_reason(self, uid: str) -> str:
        """Return what a pod waits for, from its status."""
        pod = self._pods.get(uid)
        if pod is None or pod.status is None:
            return "the pod does not exist"
        said = [
            f"container {each.name}: {each.state.waiting.reason} {each.state.waiting.message or ''}"
            for each in pod.status.containerStatuses or ()
            if each.state and each.state.waiting
        ]
        said += [
            f"{each.type}: {each.reason or ''} {each.message or ''}"
            for each in pod.status.conditions or ()
            if each.status != conditions.TRUE and each.message
        ]
        return "; ".join(text.strip() for text in said) or f"phase {pod.status.phase}"

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition holds; return whether it did in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _note(self, uid: str, phase: Phase, now: float) -> None:
        self._seen.setdefault(uid, {}).setdefault(phase, now)
