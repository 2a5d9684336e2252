"""Rounds of starts: creates pods concurrently, observes them until Ready, deletes them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.resources import MicroVM
from monopod.bench.errors import BenchError
from monopod.bench.informers import following
from monopod.bench.observations import Observations
from monopod.bench.phases import Kind, Phase, PodTimeline, Subject
from monopod.bench.pods import bench_pod
from monopod.kube import Client, Informer, KubeError, NotFoundError, uid_of
from monopod.node.vmm import kubelet_start

_FIRST_S: Final = 120.0
_EACH_S: Final = 20.0
"""Seconds in which pods must be Ready: ``_FIRST_S`` for one, ``_EACH_S`` for each further one."""
_GONE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A Ready pod of a round, before its deletion."""

    pod: str
    machine: str | None
    node: str | None
    ready_at: float
    """When it was observed to be Ready, on the observer's clock."""


MakePod = Callable[[str, str, Subject], Pod]
"""Returns a pod of a name, in a namespace, for a subject."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A pod whose creation was requested."""

    name: str
    at: float
    """When the request was sent, on the observer's clock."""
    admitted: float | None = None
    """When the request returned."""
    uid: str = ""
    refusal: str = ""


WhileRunning = Callable[[Sequence[Running]], Awaitable[None]]
"""Called with the pods that became Ready, before they are deleted."""


class Rounds:
    """Runs rounds of starts in one namespace of one cluster.

    Args:
        client: Client of an administrator.
        namespace: The namespace.
        machines: Directory with a subdirectory for each machine; None if this is not their host.
        observations: What is seen of the namespace.
        make_pod: Makes the pods.
        prefix: Beginning of the pods' names.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        machines: Path | None,
        observations: Observations,
        make_pod: MakePod = bench_pod,
        *,
        prefix: str = "",
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._machines = machines
        self._seen = observations
        self._make_pod = make_pod
        self._prefix = prefix
        self._count = 0

    async def run(
        self, subject: Subject, at_once: int, while_running: WhileRunning | None = None
    ) -> tuple[PodTimeline, ...]:
        """Create pods concurrently, waits until each is Ready or has failed, deletes them.

        Raises:
            BenchError: The pods or their machines were not deleted in time.
        """
        kind = subject.kind
        letter = self._prefix + ("m" if kind is Kind.MICROVM else "b")
        names = [f"{letter}-{self._count + n}" for n in range(at_once)]
        self._count += at_once
        sent: list[_Sent] = []
        try:
            sent += await asyncio.gather(*(self._send(name, subject) for name in names))
            made = [each for each in sent if each.uid and not each.refusal]
            late_s = _FIRST_S + _EACH_S * (at_once - 1)
            await self._seen.until(lambda: all(self._seen.is_decided(s.uid) for s in made), late_s)
            booted = await asyncio.to_thread(self._booted, made) if kind is Kind.MICROVM else {}
            timelines = tuple(self._timeline(each, booted.get(each.uid), late_s) for each in sent)
            if while_running is not None:
                await while_running(
                    [
                        Running(
                            each.name,
                            self._seen.machine(each.uid),
                            self._seen.node(each.uid),
                            ready_at,
                        )
                        for each in made
                        if (ready_at := self._seen.moments(each.uid).get(Phase.READY)) is not None
                    ]
                )
        finally:
            await asyncio.shield(self._remove(names, [each.uid for each in sent if each.uid]))
        return timelines

    async def _send(self, name: str, subject: Subject) -> _Sent:
        pod = self._make_pod(name, self._namespace, subject)
        at = time.monotonic()
        try:
            made = await self._client.create(pod)
        except KubeError as error:
            return _Sent(name, at, refusal=error.message)
        admitted = time.monotonic()
        marked = made.spec is not None and made.spec.schedulerName == keys.SCHEDULER_NAME
        refusal = ""
        if marked != (subject.kind is Kind.MICROVM):
            refusal = "the webhook did not mutate it" if not marked else "the webhook mutated it"
        return _Sent(name, at, admitted, uid_of(made), refusal)

    def _timeline(self, sent: _Sent, booted: float | None, late_s: float) -> PodTimeline:
        moments = self._seen.moments(sent.uid)
        if sent.admitted is not None:
            moments[Phase.ADMITTED] = sent.admitted
        if booted is not None:
            moments[Phase.BOOTED] = booted
        failure = sent.refusal
        if not failure and Phase.READY not in moments:
            failure = self._seen.refusal(sent.uid) or (
                f"not Ready within {late_s:.0f} s: {self._seen.waiting_reason(sent.uid)}"
            )
        reached = {phase: moment - sent.at for phase, moment in moments.items()}
        return PodTimeline(sent.name, reached, self._seen.driver(sent.uid), failure)

    def _booted(self, made: Sequence[_Sent]) -> dict[str, float]:
        """Return the times at which guests started their kubelets, on the observer's clock."""
        found: dict[str, float] = {}
        if self._machines is None:
            return found
        behind = time.time() - time.monotonic()
        for each in made:
            machine = self._seen.machine(each.uid)
            at = kubelet_start.read(self._machines, machine) if machine else None
            if at is not None:
                found[each.uid] = at - behind
        return found

    async def _remove(self, names: Sequence[str], uids: Sequence[str]) -> None:
        for name in names:
            try:
                await self._client.delete(Pod, name, self._namespace)
            except NotFoundError:
                continue
        if not await self._seen.until(lambda: all(map(self._seen.is_gone, uids)), _GONE_S):
            left = sum(not self._seen.is_gone(uid) for uid in uids)
            raise BenchError(f"{left} pods or machines are not deleted after {_GONE_S:.0f} s")


@asynccontextmanager
async def watching(client: Client, namespace: str) -> AsyncGenerator[Observations]:
    """Observe a namespace's pods, all machines and all nodes for the length of a block."""
    observations = Observations(time.monotonic)
    pods = Informer(client, Pod, namespace=namespace)
    machines, nodes = Informer(client, MicroVM), Informer(client, Node)
    pods.subscribe(observations.pod_changed)
    machines.subscribe(observations.machine_changed)
    nodes.subscribe(observations.node_changed)
    async with following(pods, machines, nodes):
        await asyncio.gather(pods.synced(), machines.synced(), nodes.synced())
        yield observations
