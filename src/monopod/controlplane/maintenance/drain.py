"""Ends the pods on this host through the API server, and waits for them and their machines."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lightkube.resources.core_v1 import Node, Pod
from lightkube.resources.policy_v1 import PodDisruptionBudget

from monopod.api.resources import MicroVM
from monopod.controlplane.errors import ClusterError
from monopod.controlplane.maintenance import decide
from monopod.controlplane.maintenance.decide import (
    Action,
    CordonNode,
    DeleteMachine,
    DeletePod,
    Evict,
    StopNode,
    TaintNode,
)
from monopod.controlplane.maintenance.state import (
    TAINT,
    Options,
    PodView,
    Refusal,
    State,
    machine_view,
    pod_view,
)
from monopod.kube import (
    Client,
    ConflictError,
    EvictionRefusedError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    PatchType,
    TransientError,
    labels_of,
    meta,
    name_of,
    uid_of,
)
from monopod.kube.selectors import selects
from monopod.node.provider.directory import directories
from monopod.util.progress import Progress, Report, ignore

_POLL_S: Final = 1.0
_TASK: Final = "pods"
Say = Callable[[str], None]
"""Shows a line to the user."""


class DrainTimeoutError(ClusterError):
    """Pods or machines are left; the message names them, with the reasons."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What would happen to a pod."""

    pod: PodView
    would: str


def _quiet(line: str) -> None:
    del line


@dataclass(slots=True)
class Drain:
    """One run of a drain; several runs, one after another or at once, do no harm."""

    client: Client
    """As the administrator."""
    machines: Path
    """Directory of this host's machines."""
    options: Options
    report: Report = ignore
    say: Say = _quiet
    silence_s: float = 60.0
    """How long the API server may not answer."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _refusals: dict[str, Refusal] = field(default_factory=dict[str, Refusal])
    _seen: dict[str, str] = field(default_factory=dict[str, str])
    """Pods that were found, by their uid."""

    async def run(self, timeout_s: float | None = None) -> None:
        """End everything on this host.

        Args:
            timeout_s: How long to wait. None means without end.

        Raises:
            DrainTimeoutError: Not everything has ended in time.
            KubeError: The API server refuses requests, or does not answer for ``silence_s``.
        """
        last: State | None = None
        try:
            async with asyncio.timeout(timeout_s):
                quiet, answered = False, time.monotonic()
                while True:
                    try:
                        last = state = await self._observe()
                        answered = time.monotonic()
                        actions = decide.decide(state, self.options)
                        for action in actions:
                            await self._carry_out(action)
                        done = not actions and decide.is_done(state, self.options)
                    except TransientError as error:
                        self.report(Progress(_TASK, f"the API server does not answer: {error}"))
                        if time.monotonic() - answered > self.silence_s:
                            raise
                        actions, done = (), False
                    # A launch that was under way when the host was cordoned is seen the next time.
                    if done and quiet:
                        break
                    quiet = done
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise DrainTimeoutError(self._left_over(last, timeout_s)) from error
        self.report(Progress(_TASK, f"{len(self._seen)} ended", 1, 1))

    async def rehearse(self) -> list[Rehearsed]:
        """Return what would happen to each pod; changes nothing.

        Raises:
            KubeError: The API server refuses requests.
        """
        state = await self._observe()
        ordered = sorted(state.pods, key=lambda each: (each.system, not each.owned, each.key))
        return [Rehearsed(pod, await self._would(pod)) for pod in ordered]

    async def _would(self, pod: PodView) -> str:
        if pod.daemon:
            return "ends with its node" if pod.stays else "is ended by a taint of its node"
        if pod.ends is not None:
            return f"is terminating, until {pod.ends:%H:%M:%S} UTC"
        try:
            await self.client.evict(pod.name, pod.namespace, uid=pod.uid, dry_run=True)
        except (NotFoundError, ConflictError):
            return "has ended meanwhile"
        except (EvictionRefusedError, ForbiddenError, InvalidError) as error:
            return f"would be refused: {await self._why(pod, error)}"
        return "would be evicted" if pod.owned else "would be evicted, and nothing creates it again"

    async def _observe(self) -> State:
        pods, machines = await asyncio.gather(self.client.list(Pod), self.client.list(MicroVM))
        bound = frozenset(uid_of(pod) for pod in pods.items if pod.spec and pod.spec.nodeName)
        running = frozenset(each.path.name for each in directories(self.machines))
        views = {
            name_of(machine): machine_view(machine, await self._node(machine), bound)
            for machine in machines.items
        }
        by_node = {each.node: each.name for each in views.values() if each.node}
        found = tuple(self._views(pods.items, by_node))
        self._seen.update((pod.uid, pod.key) for pod in found)
        alive = {pod.uid for pod in found}
        self._refusals = {uid: each for uid, each in self._refusals.items() if uid in alive}
        state = State(found, views, running, self.now(), self._refusals)
        self._show(state)
        return state

    def _views(self, pods: tuple[Pod, ...], by_node: dict[str, str]) -> Iterator[PodView]:
        for pod in pods:
            machine = by_node.get((pod.spec.nodeName if pod.spec else None) or "")
            if machine is not None:
                yield pod_view(pod, machine)

    async def _node(self, machine: MicroVM) -> Node | None:
        """Return the Node of a worker node; that of a pod's machine decides nothing."""
        name = machine.status_or_empty.nodeName
        if not machine.is_worker_node or not name:
            return None
        with contextlib.suppress(NotFoundError):
            return await self.client.get(Node, name)
        return None

    def _show(self, state: State) -> None:
        left = decide.left(state, self.options)
        ending = sum(pod.ends is not None for pod in left)
        done = len(self._seen) - len(left)
        said = f"{done} of {len(self._seen)} ended, {ending} terminating"
        if self._refusals:
            said += f", {len(self._refusals)} refused"
        # The last step is the end of the machines.
        machines = f"; {len(state.running)} machines" if state.running else ""
        self.report(Progress(_TASK, said + machines, done, len(self._seen) + 1))

    async def _carry_out(self, action: Action) -> None:
        # What did not succeed is decided again.
        with contextlib.suppress(NotFoundError, ConflictError, TransientError):
            match action:
                case Evict(pod, grace_s):
                    await self._evict(pod, grace_s)
                case DeletePod(pod, grace_s):
                    await self._delete(pod, grace_s)
                case CordonNode(machine):
                    unschedulable = {"spec": {"unschedulable": True}}
                    await self.client.patch(Node, machine.node, unschedulable)
                case TaintNode(machine):
                    await self._taint(machine.node)
                case StopNode(machine):
                    self.say(f"worker node {machine.node}: its machine is stopped")
                    await self.client.delete(Node, machine.node)
                case DeleteMachine(machine):
                    self.say(f"machine {machine.name}: deleted")
                    await self.client.delete(MicroVM, machine.name, uid=machine.uid)

    async def _taint(self, name: str) -> None:
        """Add the taint to a node's; the list is replaced as a whole, so its version is checked."""
        node = await self.client.get(Node, name)
        taints = [each.to_dict() for each in (node.spec.taints if node.spec else None) or ()]
        taints.append({"key": TAINT, "effect": "NoExecute"})
        guard = {"resourceVersion": meta(node).resourceVersion}
        await self.client.patch(Node, name, {"metadata": guard, "spec": {"taints": taints}})

    async def _evict(self, pod: PodView, grace_s: int | None) -> None:
        try:
            await self.client.evict(pod.name, pod.namespace, uid=pod.uid, grace_period_s=grace_s)
        except (EvictionRefusedError, ForbiddenError, InvalidError) as error:
            now, before = self.now(), self._refusals.get(pod.uid)
            if before is None:
                why = await self._why(pod, error)
                self.say(f"{pod.key}: its eviction is refused: {why}")
                self._refusals[pod.uid] = Refusal(now, now, why)
            else:
                self._refusals[pod.uid] = Refusal(before.since, now, before.why)
        else:
            self._refusals.pop(pod.uid, None)
            self.say(f"{pod.key}: evicted")

    async def _delete(self, pod: PodView, grace_s: int | None) -> None:
        """Delete a pod as a disruption, which Jobs do not count as a failure if they say so."""
        if pod.ends is None:
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "TerminationByHost",
                "message": "its host is drained",
                "lastTransitionTime": f"{self.now():%Y-%m-%dT%H:%M:%SZ}",
            }
            await self.client.patch(
                Pod,
                pod.name,
                {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}},
                pod.namespace,
                kind_of_patch=PatchType.STRATEGIC,
                subresource="status",
            )
            self.say(f"{pod.key}: deleted, although its eviction was refused")
        await self.client.delete(Pod, pod.name, pod.namespace, uid=pod.uid, grace_period_s=grace_s)

    async def _why(
        self, pod: PodView, error: EvictionRefusedError | ForbiddenError | InvalidError
    ) -> str:
        """Return why an eviction was refused, with the names of the pod's budgets."""
        if not isinstance(error, EvictionRefusedError):
            return error.message
        with contextlib.suppress(NotFoundError):
            found = await self.client.get(Pod, pod.name, pod.namespace)
            budgets = (await self.client.list(PodDisruptionBudget, pod.namespace)).items
            names = [
                f"{pod.namespace}/{name_of(budget)}"
                for budget in budgets
                if budget.spec is not None
                and budget.spec.selector is not None
                and selects(budget.spec.selector, labels_of(found))
            ]
            return f"PodDisruptionBudget {', '.join(names)}: {error.message}"
        return error.message

    def _left_over(self, state: State | None, timeout_s: float | None) -> str:
        """Describe what is left after a time-out."""
        after = f"after {timeout_s or 0:.0f} s"
        if state is None:
            return f"{after} the API server has not answered"
        lines: list[str] = []
        for pod in decide.left(state, self.options):
            refusal = self._refusals.get(pod.uid)
            if pod.ends is not None:
                lines.append(f"{pod.key}: terminating, until {pod.ends:%H:%M:%S} UTC")
            else:
                lines.append(f"{pod.key}: {refusal.why if refusal else 'waits for its turn'}")
        named = {pod.machine for pod in decide.left(state, self.options)}
        lines += [f"machine {name}: still runs" for name in sorted(state.running - named)]
        what = "\n".join(lines) or "nothing, but that was not confirmed"
        return f"{after} these are left:\n{what}"
