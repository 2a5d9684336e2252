"""Two replicas of scheduler and MicroVM controller over simulated machines, killed and suspended.

Both are the processes of a cluster, with its identities and rights; only the machines are not real.
"""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Pod

from monopod.api.keys import SYSTEM_NAMESPACE
from monopod.api.names import machine_name
from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions
from monopod.kube import Change, Deleted, Manager, NotFoundError, meta, name_of, uid_of
from tests.apiserver import ApiServer
from tests.framework import builders
from tests.framework.eventually import eventually
from tests.microvm.world import SUBNET, World, status_of
from tests.replicas.replicas import Replica, leader, running
from tests.replicas.simulated import JOURNAL

pytestmark = pytest.mark.api

_MODULES = {
    "microvm": "tests.replicas.microvm_process",
    "scheduler": "monopod.controllers.scheduler",
}
_STARTS = 100 if "MONOPOD_LONG_TESTS" in os.environ else 20
_KILLS = 2
"""Of leaders of each controller, at least; they go on while pods are created."""


@pytest.fixture
def home(signing_server: ApiServer, tmp_path: Path) -> Path:
    """A home with the identities of both controllers."""
    made = tmp_path / "home"
    for directory in ("machines", "pulls", "identities"):
        (made / directory).mkdir(parents=True)
    for name, user in (("microvm", "microvm"), ("scheduler", "fargate-scheduler")):
        identity = signing_server.kubeconfig(f"monopod:{user}").parent
        (made / "identities" / name).symlink_to(identity)
    return made


class Observer:
    """Notes every address, node and binding that ever was, from its own watches."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.wrong: list[str] = []
        self.bound: dict[str, set[str]] = {}
        """Nodes that each pod was bound to."""
        self._manager = Manager(world.admin)
        self._machines = self._manager.informer(MicroVM)
        self._pods = self._manager.informer(Pod, namespace=world.namespace)
        self._launched: dict[str, tuple[str, str, str]] = {}
        self._machines.subscribe(self._machine_changed)
        self._pods.subscribe(self._pod_changed)

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        ready = asyncio.Event()
        work = [
            asyncio.create_task(self._manager.run(ready.set)),
            asyncio.create_task(self._kubelets()),
        ]
        try:
            await ready.wait()
            yield
            assert not any(each.done() for each in work)
        finally:
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        machine = change.object
        if isinstance(change, Deleted):
            return
        status = machine.status_or_empty
        if conditions.holds(machine, conditions.LAUNCHED):
            place = status.podAddress, status.managementAddress, status.nodeName
            before = self._launched.setdefault(uid_of(machine), place)
            if before != place:
                self.wrong.append(f"{name_of(machine)} moved from {before} to {place}")
        launched = [each for each in self._machines.items() if each.status_or_empty.attempts]
        for kind in ("podAddress", "managementAddress", "nodeName"):
            used = Counter(getattr(each.status_or_empty, kind) for each in launched)
            self.wrong += [f"{kind} {value} twice" for value, times in used.items() if times > 1]

    def _pod_changed(self, change: Change[Pod]) -> None:
        spec = change.object.spec
        if spec is not None and spec.nodeName:
            self.bound.setdefault(uid_of(change.object), set()).add(spec.nodeName)

    async def _kubelets(self) -> None:
        """Report every launched machine's node once, as its kubelet would."""
        while True:
            nodes = {
                name_of(node)
                for node in await self.world.nodes()
                if not (node.status and node.status.nodeInfo and node.status.nodeInfo.bootID)
            }
            for machine in self._machines.items():
                launched = conditions.holds(machine, conditions.LAUNCHED)
                if launched and status_of(machine).nodeName in nodes:
                    with suppress(NotFoundError):
                        await self.world.report(machine, ready=True)
            await asyncio.sleep(0.05)


async def _pod(world: World, number: int) -> Pod:
    wanted = builders.pod(f"web-{number}", world.namespace)
    meta(wanted).uid = None
    return await world.admin.create(wanted)


async def _transitions(world: World, name: str) -> int:
    spec = (await world.admin.get(Lease, f"monopod-{name}", SYSTEM_NAMESPACE)).spec
    return (spec and spec.leaseTransitions) or 0


def _journal(home: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (home / "machines" / JOURNAL).read_text().splitlines()]


async def _profile(world: World) -> None:
    wanted = builders.profile(f"fp-{world.namespace}", world.namespace, SUBNET)
    wanted.status = None
    await world.admin.create(wanted)


async def _kill(pair: Sequence[Replica], work: asyncio.Task[None]) -> int:
    """Kill the leader of two replicas, again and again, as soon as one leads; return how often."""
    kills = 0
    while kills < _KILLS or not work.done():
        victim = await leader(pair)
        ended = len(victim.ends)
        victim.kill()
        await eventually(lambda: len(victim.ends) > ended)  # noqa: B023 - awaited in the loop
        kills += 1
    return kills


@pytest.mark.row("S3")
async def test_replicas_killed_alternately_lose_nothing_and_do_nothing_twice(
    world: World,
    home: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    await _profile(world)
    observer = Observer(world)
    pods: list[Pod] = []
    gone: list[Pod] = []

    async def users() -> None:
        for number in range(_STARTS):
            pods.append(await _pod(world, number))
            if number % 5 == 4:
                gone.append(pods[-3])
                await world.admin.delete(Pod, name_of(pods[-3]), world.namespace)
            await asyncio.sleep(0.2)

    async with observer.watching(), running(tmp_path, home, _MODULES) as replicas:
        before = {name: await _transitions(world, name) for name in _MODULES}
        work = asyncio.create_task(users())
        killers = [asyncio.create_task(_kill(pair, work)) for pair in replicas.values()]
        await work
        kills = sum(await asyncio.gather(*killers))
        record_property("kills", kills)
        left = [pod for pod in pods if pod not in gone]
        for pod in left:
            await eventually(lambda pod=pod: observer.bound.get(uid_of(pod)), "it is bound", 120)
        for pod in gone:
            await world.gone_object(machine_name(uid_of(pod)))
        # A leader of each was killed, and another one took over.
        for name in _MODULES:
            assert await _transitions(world, name) > before[name] + 1
        assert all(-signal.SIGKILL in each.ends for pair in replicas.values() for each in pair)
    assert observer.wrong == []
    assert all(len(nodes) == 1 for nodes in observer.bound.values())
    machines = {name_of(each): each for each in (await world.admin.list(MicroVM)).items}
    assert machines.keys() == {machine_name(uid_of(pod)) for pod in left}
    for pod in left:
        machine = machines[machine_name(uid_of(pod))]
        assert observer.bound[uid_of(pod)] == {status_of(machine).nodeName}
    journal = _journal(home)
    launches = Counter(line["machine"] for line in journal if line["what"] == "launched")
    assert not [line for line in journal if line["what"] == "two processes launch it"]
    assert {name: launches[name] for name in machines} == dict.fromkeys(machines, 1)
    assert max(launches.values()) == 1
    there = {each.name for each in (home / "machines").iterdir() if each.is_dir()}
    assert there == machines.keys()
    nodes = {name_of(each) for each in await world.nodes()}
    assert nodes == {status_of(each).nodeName for each in machines.values()}


def _is_idle(replica: Replica) -> bool:
    requests = [line["path"] for line in replica.lines() if line["event"] == "api_request"]
    return all("/monopod-system/leases/" in path for path in requests[-2:])


async def _suspended(pair: Sequence[Replica]) -> tuple[Replica, Replica]:
    """Suspend the leader of two; return it and the other one."""
    old = await leader(pair)
    await eventually(lambda: _is_idle(old), "its last two requests are renewals")
    (new,) = (each for each in pair if each is not old)
    old.kill(signal.SIGSTOP)
    return old, new


@pytest.mark.row("S3")
async def test_a_suspended_leader_writes_nothing_when_it_wakes(
    world: World, home: Path, tmp_path: Path
) -> None:
    await _profile(world)
    observer = Observer(world)
    async with (
        observer.watching(),
        running(tmp_path, home, _MODULES, MONOPOD_LOG_LEVEL="debug") as replicas,
    ):
        first = await _pod(world, 0)
        await eventually(lambda: observer.bound.get(uid_of(first)))
        old, new = await _suspended(replicas["scheduler"])
        # It will find these in its sockets.
        pods = [await _pod(world, number) for number in range(1, 4)]
        await eventually(lambda: new.leads, "the other scheduler leads")
        for pod in pods:
            await eventually(lambda pod=pod: observer.bound.get(uid_of(pod)), "it is bound")
        said, ended = len(old.lines()), len(old.ends)
        old.kill(signal.SIGCONT)
        await eventually(lambda: len(old.ends) > ended, "the suspended scheduler ends")
        assert old.ends[ended] == 1
        since = old.lines()[said:]
        assert [line for line in since if line["event"] == "leader_election_lost"]
        assert not [
            line for line in since if line["event"] == "api_request" and line["method"] != "GET"
        ]

        # The MicroVM controller's host has a lock besides: nothing acts there until the suspended
        # process is gone.
        old, new = await _suspended(replicas["microvm"])
        pod = await _pod(world, 9)
        await eventually(lambda: new.count("host_lock_waiting"), "the other one waits")
        launched, ended = len(_journal(home)), len(old.ends)
        old.kill(signal.SIGCONT)
        await eventually(lambda: observer.bound.get(uid_of(pod)), "it is bound")
        assert old.ends[ended] == 1
        assert len(_journal(home)) == launched + 1
    assert observer.wrong == []
