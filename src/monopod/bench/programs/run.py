"""One run of real programs, from an empty namespace to the report."""

import asyncio
import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lightkube.models import core_v1 as core
from lightkube.resources.core_v1 import Event, Pod

from monopod.bench.cluster import Cluster
from monopod.bench.environment import exclusive, run_namespace
from monopod.bench.errors import BenchError
from monopod.bench.phases import Kind, Subject
from monopod.bench.pods import bench_pod
from monopod.bench.programs.image import programs_archive
from monopod.bench.programs.report import (
    CPU,
    MEMORY,
    PULL,
    Measured,
    ProgramsReport,
    parse,
    pull_seconds,
)
from monopod.bench.rounds import Rounds, Running, watching
from monopod.bench.run import baseline_node, host, moment
from monopod.build.images import push
from monopod.kube import Client, connect
from monopod.util.progress import Progress
from monopod.util.progress import Report as ProgressReport

_USER_AGENT: Final = "monopod-bench"
_LOADS: Final = 8
_SLACK_S: Final = 300.0
"""Seconds that a pod may take besides its loads: a database is created first."""
_DATA: Final = "/data"


@dataclass(frozen=True, slots=True)
class ProgramsBenchOptions:
    """Parameters of a run."""

    seconds: int = 10
    """Duration of each load."""
    baseline: bool = True
    """Whether to measure a pod on a baseline node too."""
    drivers: tuple[str, ...] = ("",)
    """Values of ``keys.DRIVER_WORDS`` to measure; empty for the default driver."""


class ProgramsRun:
    """State that the steps of a run share."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        rounds: Rounds,
        options: ProgramsBenchOptions,
        report: ProgressReport,
        *,
        poll_s: float = 1.0,
    ) -> None:
        self._poll_s = poll_s
        self._client = client
        self._namespace = namespace
        self._rounds = rounds
        self._options = options
        self._report = report
        self.measured: list[Measured] = []
        self.notes: list[str] = []

    async def subject(self, subject: Subject) -> None:
        """Measure one pod of a kind; what fails becomes a note."""
        self._report(Progress(subject.title, "starting a pod"))
        figures: dict[str, float] = {}
        measure = functools.partial(self._measure, subject, figures)
        try:
            (timeline,) = await self._rounds.run(subject, 1, measure)
        except BenchError as error:
            self.notes.append(f"{subject.title}: {error}")
            return
        if timeline.failure:
            self.notes.append(f"{subject.title}: {timeline.failure}")
            return
        self.measured.append(Measured(replace(subject, driver=timeline.driver), figures))
        self._report(Progress(subject.title, "measured", 1, 1))

    async def _measure(
        self, subject: Subject, figures: dict[str, float], running: Sequence[Running]
    ) -> None:
        for each in running:
            pulled = await self._pull(each.pod)
            if pulled is not None:
                figures[PULL] = pulled
            figures.update(await self._programs(subject, each.pod))

    async def _pull(self, pod: str) -> float | None:
        """Return how long the kubelet pulled the image, in seconds; None if it did not."""
        events = (await self._client.list(Event, self._namespace)).items
        took = (
            pull_seconds(event.message or "")
            for event in events
            if event.involvedObject.name == pod and event.reason == "Pulled"
        )
        return next((seconds for seconds in took if seconds is not None), None)

    async def _programs(self, subject: Subject, pod: str) -> dict[str, float]:
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log"
        deadline = time.monotonic() + _LOADS * self._options.seconds + _SLACK_S
        while time.monotonic() < deadline:
            log = (await self._client.raw(path)).decode()
            found = parse(log)
            if found is not None:
                return found
            last = log.splitlines()[-1:] or ["starting"]
            self._report(Progress(subject.title, last[0]))
            await asyncio.sleep(self._poll_s)
        raise BenchError(f"the programs of {pod} are not done in time")


def programs_pod(name: str, namespace: str, subject: Subject, image: str, seconds: int) -> Pod:
    """Return a pod that measures Redis and PostgreSQL and prints the figures."""
    share = {"cpu": CPU, "memory": MEMORY}
    container = core.Container(
        name="main",
        image=image,
        imagePullPolicy="Always",
        args=[str(seconds)],
        resources=core.ResourceRequirements(requests=share, limits=share),
        volumeMounts=[core.VolumeMount(name="data", mountPath=_DATA)],
    )
    pod = bench_pod(name, namespace, subject, container)
    if pod.spec is not None:
        pod.spec.volumes = [core.Volume(name="data", emptyDir=core.EmptyDirVolumeSource())]
    return pod


async def bench_programs(
    cluster: Cluster, cache: Path, options: ProgramsBenchOptions, report: ProgressReport
) -> ProgramsReport:
    """Measure real programs inside pods of a running cluster.

    Args:
        cluster: The cluster.
        cache: ``MONOPOD_CACHE``, for the programs' image.
        options: Parameters of the run.
        report: Receives progress.

    Raises:
        BenchError: Another benchmark is running, or the run's objects are not deleted.
        KubeError: The API server rejected a request or was unreachable.
        ImageError: The registry rejects the image.
    """
    before, taken_at = host(), moment()
    archive = await programs_archive(cache, report)
    async with (
        exclusive(cluster.kubeconfig),
        connect(cluster.kubeconfig, _USER_AGENT) as client,
        run_namespace(client) as name,
        watching(client, name) as observations,
    ):
        image = await push(archive, cluster.registry, socket=cluster.push_socket, report=report)
        make_pod = functools.partial(programs_pod, image=image, seconds=options.seconds)
        rounds = Rounds(client, name, cluster.machines, observations, make_pod)
        run = ProgramsRun(client, name, rounds, options, report)
        for driver in options.drivers:
            await run.subject(Subject(Kind.MICROVM, driver))
        if options.baseline:
            async with baseline_node(cluster, client, report):
                await run.subject(Subject(Kind.BASELINE))
    return ProgramsReport(
        taken_at=taken_at,
        host=before,
        image=image,
        image_bytes=archive.stat().st_size,
        seconds=options.seconds,
        measured=tuple(run.measured),
        notes=tuple(run.notes),
    )
