"""Requests between machines of one host and of two, on a cluster that Monopod was installed into.

Ordinary pods of the same hosts are the baseline. The cluster's scheduler chooses the host of each
machine, so several are started at once, and the pairs are measured that it put on one host and on
two.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lightkube.resources.core_v1 import Pod

from monopod.bench.environment import exclusive, run_namespace
from monopod.bench.errors import BenchError
from monopod.bench.hosts import hosts_of
from monopod.bench.network.balancers import until_answers
from monopod.bench.network.image import PORT, upstream_image
from monopod.bench.network.loads import Loader
from monopod.bench.network.manifests import fortio_pod
from monopod.bench.network.report import BODY_BYTES, Leg, NetworkReport, Way
from monopod.bench.network.run import NetworkBenchOptions
from monopod.bench.phases import Kind, Subject
from monopod.bench.rounds import Rounds, Running, watching
from monopod.bench.run import host, moment
from monopod.bench.statistics import counted
from monopod.kube import Client, connect
from monopod.util.progress import Progress
from monopod.util.progress import Report as ProgressReport

_USER_AGENT: Final = "monopod-bench"
_WARM_UP_S: Final = 1


@dataclass(frozen=True, slots=True)
class HostsBenchOptions:
    """Parameters of a run, beyond those of every network benchmark."""

    loads: NetworkBenchOptions
    image: str = ""
    """Reference of an image with Fortio, which machines and hosts can pull; empty means upstream's
    of the version that components pin."""
    machines: int = 3
    """Machines that are started at once: two of them must come to one host."""
    rate: int = 100
    """Requests per second of the loads that latencies come from."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """A server, and its caller for each way; indexes into a list of pods."""

    server: int
    callers: Mapping[Way, int]


def pairs(hosts: Sequence[str]) -> Pairs:
    """Choose the server that has callers on its own host and on another, if one has both.

    Args:
        hosts: The host of each pod.
    """
    found = [Pairs(number, _callers(hosts, number)) for number in range(len(hosts))]
    return max(found, key=lambda each: len(each.callers), default=Pairs(0, {}))


def _callers(hosts: Sequence[str], server: int) -> dict[Way, int]:
    callers: dict[Way, int] = {}
    for number, name in enumerate(hosts):
        if number != server:
            way = Way.SAME_HOST if name == hosts[server] else Way.OTHER_HOST
            callers.setdefault(way, number)
    return {way: callers[way] for way in Way if way in callers}


PodHosts = Callable[[Sequence[Running]], Awaitable[Mapping[str, str]]]
"""Returns the host of each pod by the pod's name; pods without a known one are absent."""


class HostsRun:
    """State that the steps of a run share; pods are started by ``Rounds``."""

    def __init__(
        self, client: Client, namespace: str, options: HostsBenchOptions, report: ProgressReport
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._options = options
        self._report = report
        self.legs: list[Leg] = []
        self.notes: list[str] = []
        self.hosts: list[str] = []
        """Hosts of the server and of its callers, as machines were measured."""

    async def machines(self, rounds: Rounds, driver: str) -> None:
        """Measure between machines of one driver.

        Raises:
            BenchError: No two pods start, or one does not answer.
        """
        hosts = await self._round(
            rounds, Subject(Kind.MICROVM, driver), self._options.machines, self._machine_hosts
        )
        self.hosts = self.hosts or hosts

    async def baseline(self, rounds: Rounds) -> None:
        """Measure between ordinary pods of the hosts that machines were measured on.

        Raises:
            BenchError: No two pods start, or one does not answer.
        """
        await self._round(rounds, Subject(Kind.BASELINE), len(self.hosts), self._pinned_hosts)

    def baseline_host(self, pod: str) -> str:
        """Return the host that a baseline pod is pinned to, by the number in its name."""
        return self.hosts[int(pod.rpartition("-")[2])]

    async def _machine_hosts(self, running: Sequence[Running]) -> Mapping[str, str]:
        hosts = await hosts_of(self._client, running)
        return {each.pod: hosts[each.machine] for each in running if each.machine in hosts}

    async def _pinned_hosts(self, running: Sequence[Running]) -> Mapping[str, str]:
        return {each.pod: self.baseline_host(each.pod) for each in running}

    async def _round(
        self, rounds: Rounds, subject: Subject, pods: int, hosts_of_pods: PodHosts
    ) -> list[str]:
        """Start pods and measure between them; returns the server's host and its callers'."""
        legs: list[Leg] = []
        hosts: list[str] = []
        task = f"{subject.title}, requests"
        self._report(Progress(task, f"starting {counted(pods, 'pod')}"))

        async def measure(running: Sequence[Running]) -> None:
            hosts.extend(await self._measure(subject, task, legs, await hosts_of_pods(running)))

        timelines = await rounds.run(subject, pods, measure)
        failures = [f"{each.pod}: {each.failure}" for each in timelines if not each.complete]
        if not legs:
            why = "; ".join(failures) or "fewer than two were placed"
            raise BenchError(f"nothing can be measured on {subject.title}: {why}")
        known = replace(subject, driver=next(each.driver for each in timelines if each.complete))
        self.notes += [f"{known.title}: {each}" for each in failures]
        self.legs += [replace(each, subject=known) for each in legs]
        measured = {each.way for each in legs}
        self.notes += [
            f"{known.title}: no pair for {each.value} among {counted(pods, 'pod')}: start more"
            for each in (Way.SAME_HOST, Way.OTHER_HOST)
            if each not in measured
        ]
        self._report(Progress(task, "measured", 1, 1))
        return hosts

    async def _measure(
        self, subject: Subject, task: str, legs: list[Leg], hosts: Mapping[str, str]
    ) -> list[str]:
        pods = list(hosts)
        found = pairs([hosts[pod] for pod in pods])
        if not found.callers:
            return []
        server = await self._client.get(Pod, pods[found.server], self._namespace)
        url = f"http://{server.status.podIP if server.status else None}:{PORT}/"
        for number, (way, caller) in enumerate(found.callers.items()):
            self._report(Progress(task, way.value, number, len(found.callers)))
            loader = Loader(self._client, self._namespace, pods[caller])
            legs.append(await self._leg(subject, way, url, loader))
        return [hosts[pods[each]] for each in (found.server, *found.callers.values())]

    async def _leg(self, subject: Subject, way: Way, url: str, loader: Loader) -> Leg:
        await until_answers(loader, url, f"{subject.title}: {way.value}")
        loads, rate = self._options.loads, self._options.rate
        connections, seconds = loads.connections, loads.seconds
        await loader.run(url, connections=connections, seconds=_WARM_UP_S)
        return Leg(
            subject,
            way,
            paced=await loader.run(url, connections=1, seconds=seconds, rate=rate),
            small=await loader.run(url, connections=connections, seconds=seconds),
            large=await loader.run(
                f"{url}?size={BODY_BYTES}", connections=connections, seconds=seconds
            ),
        )


async def bench_hosts(
    kubeconfig: Path, options: HostsBenchOptions, report: ProgressReport
) -> NetworkReport:
    """Measure requests between machines of a cluster's hosts, and between ordinary pods of them.

    Raises:
        BenchError: Another benchmark is running, pods do not start or do not answer, or the run's
            objects are not deleted.
        KubeError: The API server rejected a request or was unreachable.
    """
    before, taken_at = host(), moment()
    loads, image = options.loads, options.image or upstream_image()
    async with (
        exclusive(kubeconfig),
        connect(kubeconfig, _USER_AGENT) as client,
        run_namespace(client) as name,
        watching(client, name) as observations,
    ):
        run = HostsRun(client, name, options, report)
        machine = functools.partial(fortio_pod, image=image, cpu=loads.cpu)

        def baseline(pod: str, namespace: str, subject: Subject) -> Pod:
            return machine(pod, namespace, subject, host=run.baseline_host(pod))

        rounds = Rounds(client, name, None, observations, machine)
        for driver in loads.drivers:
            await run.machines(rounds, driver)
        if loads.baseline:
            await run.baseline(Rounds(client, name, None, observations, baseline))
    return NetworkReport(
        taken_at=taken_at,
        host=before,
        image=image,
        connections=loads.connections,
        seconds=loads.seconds,
        legs=tuple(run.legs),
        first_bytes=(),
        notes=tuple(run.notes),
        cpu=loads.cpu,
        rate=options.rate,
    )
