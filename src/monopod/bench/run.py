"""One run of the start benchmark, from an empty namespace to the report."""

import asyncio
import functools
import os
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from monopod.bench import footprint, host_kubelets
from monopod.bench.baseline_node import BaselineNode
from monopod.bench.baseline_node.host import Image
from monopod.bench.cluster import Cluster
from monopod.bench.environment import exclusive, run_namespace
from monopod.bench.errors import BenchError
from monopod.bench.footprint import IdleMachine
from monopod.bench.hosts import hosts_of, machines_per_host
from monopod.bench.machines_per_host import MachinesPerHost
from monopod.bench.phases import Kind, PodTimeline, Subject
from monopod.bench.pods import IMAGE
from monopod.bench.report import Footprint, Host, Report
from monopod.bench.rounds import Rounds, Running, WhileRunning, watching
from monopod.bench.statistics import Series, counted, how_many
from monopod.kube import Client, connect
from monopod.node.guest import pause
from monopod.node.vmm.cgroups import Cgroups
from monopod.util.cgroups import Hierarchies
from monopod.util.progress import Progress
from monopod.util.progress import Report as ProgressReport

_USER_AGENT: Final = "monopod-bench"


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Parameters of a run."""

    count: int = 5
    """Number of sequential starts."""
    at_once: int = 10
    """Number of concurrent starts; 0 for none."""
    baseline: bool = True
    """Whether to measure a baseline node too."""
    drivers: tuple[str, ...] = ("",)
    """Values of ``keys.DRIVER_WORDS`` to measure; empty for the default driver."""


@dataclass(frozen=True, slots=True)
class Idle:
    """What was measured of idle machines."""

    footprint: Footprint
    per_host: MachinesPerHost | None = None


MeasureIdle = Callable[[str, Sequence[Running]], Awaitable[Idle | None]]
"""Measures running machines of a driver. None means that none was left."""


class _Run:
    """State that the steps of a run share."""

    def __init__(self, options: BenchOptions, idle: MeasureIdle, report: ProgressReport) -> None:
        self.options = options
        self.idle = idle
        self.report = report
        self.footprints: list[Footprint] = []
        self.per_host: list[MachinesPerHost] = []
        self.notes: list[str] = []

    async def machines(self, rounds: Rounds) -> list[Series]:
        """Measure every requested driver; one that this host cannot run becomes a note.

        Raises:
            BenchError: This host can run none of them.
        """
        found: list[Series] = []
        for driver in self.options.drivers:
            try:
                found += await self.series(rounds, Subject(Kind.MICROVM, driver))
            except BenchError as error:
                self.notes.append(str(error))
        if not found:
            raise BenchError("; ".join(self.notes))
        return found

    async def series(self, rounds: Rounds, subject: Subject) -> list[Series]:
        """Start pods on a subject: a warm-up, then sequential starts, then concurrent ones.

        Raises:
            BenchError: The warm-up pod does not become Ready.
        """
        subject = await self._warm_up(rounds, subject)
        found = [Series(subject, 1, await self._one_at_a_time(rounds, subject))]
        if self.options.at_once > 1:
            at_once = self.options.at_once
            task = f"{subject.title}, {how_many(at_once)}"
            self.report(Progress(task, "starting"))
            timelines = await rounds.run(subject, at_once, self._measuring(subject))
            self.report(Progress(task, _outcome(timelines), 1, 1))
            found.append(Series(subject, at_once, timelines))
        return found

    async def _warm_up(self, rounds: Rounds, subject: Subject) -> Subject:
        """Start one uncounted pod; returns the subject with the driver that its machine has."""
        task = f"{subject.title}, warm-up"
        self.report(Progress(task, "one uncounted start"))
        (timeline,) = await rounds.run(subject, 1)
        if not timeline.complete:
            raise BenchError(f"no pod became Ready on {subject.title}: {timeline.failure}")
        self.report(Progress(task, "one uncounted start", 1, 1))
        return replace(subject, driver=timeline.driver)

    async def _one_at_a_time(self, rounds: Rounds, subject: Subject) -> tuple[PodTimeline, ...]:
        task = f"{subject.title}, {how_many(1)}"
        timelines: list[PodTimeline] = []
        for number in range(self.options.count):
            self.report(Progress(task, _outcome(timelines), number, self.options.count))
            alone = self.options.at_once <= 1 and number == self.options.count - 1
            measured = self._measuring(subject) if alone else None
            timelines += await rounds.run(subject, 1, measured)
        self.report(Progress(task, _outcome(timelines), 1, 1))
        return tuple(timelines)

    def _measuring(self, subject: Subject) -> WhileRunning | None:
        if subject.kind is Kind.BASELINE:
            return None
        return functools.partial(self._measure, subject.driver)

    async def _measure(self, driver: str, running: Sequence[Running]) -> None:
        task = "idle machines"
        self.report(Progress(task, "measuring for half a minute or more"))
        found = await self.idle(driver, running)
        if found is None:
            self.notes.append(f"no machine of {driver} was left to measure its memory and CPU")
            return
        self.footprints.append(found.footprint)
        if found.per_host is not None:
            self.per_host.append(found.per_host)
        self.report(Progress(task, counted(found.footprint.machines, "machine"), 1, 1))

    def results(self, before: Host, taken_at: str, series: Sequence[Series]) -> Report:
        """Return the report of the run."""
        return Report(
            taken_at=taken_at,
            host=before,
            image=IMAGE,
            series=tuple(series),
            footprints=tuple(self.footprints),
            notes=tuple(self.notes),
            per_host=tuple(self.per_host),
        )


async def bench_start(cluster: Cluster, options: BenchOptions, report: ProgressReport) -> Report:
    """Measure starts of pods on a running cluster.

    Raises:
        BenchError: Another benchmark is running, no pod became Ready, or the run's objects are not
            deleted.
        KubeError: The API server rejected a request or was unreachable.
        ImageBuildError: The pods' image cannot be built for the baseline node.
    """
    before = host()
    taken_at = moment()
    async with (
        exclusive(cluster.kubeconfig),
        connect(cluster.kubeconfig, _USER_AGENT) as client,
        run_namespace(client) as name,
        watching(client, name) as observations,
    ):
        run = _Run(options, functools.partial(_on_this_host, cluster, client), report)
        rounds = Rounds(client, name, cluster.machines, observations)
        series = await run.machines(rounds)
        if options.baseline:
            async with baseline_node(cluster, client, report):
                series += await run.series(rounds, Subject(Kind.BASELINE))
    return run.results(before, taken_at, series)


async def bench_installed(
    kubeconfig: Path, options: BenchOptions, report: ProgressReport
) -> Report:
    """Measure starts of pods on a cluster that Monopod was installed into.

    There is no baseline node, and a guest's boot is not seen: its phase counts as ``registered``.

    Raises:
        BenchError: Another benchmark is running, no pod became Ready, or the run's objects are not
            deleted.
        KubeError: The API server rejected a request or was unreachable.
    """
    before = host()
    taken_at = moment()
    async with (
        exclusive(kubeconfig),
        connect(kubeconfig, _USER_AGENT) as client,
        run_namespace(client) as name,
        watching(client, name) as observations,
    ):
        run = _Run(options, functools.partial(_in_launcher_pods, client), report)
        series = await run.machines(Rounds(client, name, None, observations))
        run.notes.append(
            "host memory is the working set of launcher pods, as kubelets of their hosts report it:"
            " it has the page cache in use"
        )
    return run.results(before, taken_at, series)


async def _on_this_host(
    cluster: Cluster, client: Client, driver: str, running: Sequence[Running]
) -> Idle | None:
    cgroups = Cgroups(Hierarchies.of_this_host(), f"monopod-{cluster.plan.instance}")
    machines = [
        IdleMachine(
            name=each.machine,
            node=each.node,
            cgroup=cgroups.directory(each.machine),
            memory_cgroup=cgroups.directory(each.machine, "memory"),
            disks=tuple(sorted((cluster.machines / each.machine).glob("*.*"))),
        )
        for each in running
        if each.machine and each.node
    ]
    if not machines:
        return None
    return Idle(await footprint.measure(client, driver, machines, cluster.root_image))


async def _in_launcher_pods(client: Client, driver: str, running: Sequence[Running]) -> Idle | None:
    hosts = await hosts_of(client, running)
    if not hosts:
        return None
    measured = await host_kubelets.measure(client, driver, hosts)
    return Idle(measured, await machines_per_host(client, hosts, measured))


def moment() -> str:
    """Return the time, as RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def host() -> Host:
    """Describe this host's current state."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = next((line for line in cpuinfo.splitlines() if line.startswith("model name")), "")
    memory = next(
        line for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line
    )
    return Host(
        processors=len(os.sched_getaffinity(0)),
        model=model.partition(":")[2].strip() or "unknown processor",
        memory_mib=int(memory.split()[1]) // 1024,
        kernel=os.uname().release,
        load=os.getloadavg()[0],
    )


@asynccontextmanager
async def baseline_node(
    cluster: Cluster,
    client: Client,
    report: ProgressReport,
    *images: Image,
    pods: IPv4Network | None = None,
) -> AsyncGenerator[None]:
    """Run a baseline node on this host for the length of a block; see ``BaselineNode``."""
    task = "baseline node"
    report(Progress(task, "starting containerd and kubelet"))
    with tempfile.TemporaryDirectory(prefix="monopod-") as scratch:
        archive = await pause.build(cluster.pause_source, Path(scratch))
    ca_certificate = await asyncio.to_thread(cluster.ca_certificate.read_bytes)
    async with connect(cluster.signing_kubeconfig, _USER_AGENT) as signing:
        node = BaselineNode(
            client,
            signing=signing,
            plan=cluster.plan,
            home=cluster.home,
            programs=cluster.programs,
            ca_certificate=ca_certificate,
            registry=urlsplit(cluster.registry).netloc,
            pods=pods,
        )
        async with node.running(Image(IMAGE, archive), *images):
            report(Progress(task, node.name, 1, 1))
            yield


def _outcome(timelines: Sequence[PodTimeline]) -> str:
    """Return how many of the last starts succeeded and failed."""
    complete = sum(timeline.complete for timeline in timelines)
    failed = len(timelines) - complete
    return f"{complete} ready" + (f", {failed} failed" if failed else "")
