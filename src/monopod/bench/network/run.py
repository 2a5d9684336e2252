"""One run of the network benchmark, from an empty namespace to the report."""

import asyncio
import functools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lightkube.resources.core_v1 import Pod, Service
from lightkube.resources.networking_v1 import Ingress

from monopod.bench.cluster import Cluster
from monopod.bench.environment import exclusive, reserved_block, run_namespace
from monopod.bench.errors import BenchError
from monopod.bench.network.balancers import WITHIN_S, balancer_address, until_answers
from monopod.bench.network.first_byte import first_byte
from monopod.bench.network.image import PORT, fortio_image
from monopod.bench.network.loads import Loader
from monopod.bench.network.manifests import (
    CPU,
    INTERNAL,
    INTERNET_FACING,
    KIND_LABEL,
    NAME_LABEL,
    application_balancer,
    fortio_pod,
    kind_label,
    network_balancer,
)
from monopod.bench.network.report import BODY_BYTES, FirstBytes, Leg, NetworkReport, Way
from monopod.bench.phases import Kind, Subject
from monopod.bench.rounds import Rounds, Running, watching
from monopod.bench.run import baseline_node, host, moment
from monopod.kube import Client, connect
from monopod.util.progress import Progress
from monopod.util.progress import Report as ProgressReport

_USER_AGENT: Final = "monopod-bench"
_WARM_UP_S: Final = 1


@dataclass(frozen=True, slots=True)
class NetworkBenchOptions:
    """Parameters of a run."""

    seconds: int = 10
    """Duration of each load."""
    connections: int = 4
    """Concurrent connections."""
    repeats: int = 7
    """Starts whose first byte is measured."""
    baseline: bool = True
    """Whether to measure pods on a baseline node too."""
    drivers: tuple[str, ...] = ("",)
    """Values of ``keys.DRIVER_WORDS`` to measure; empty for the default driver."""
    cpu: str = CPU
    """CPU request and limit of each pod."""


class _Run:
    """State that the steps of a run share."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        rounds: Rounds,
        options: NetworkBenchOptions,
        report: ProgressReport,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._rounds = rounds
        self._options = options
        self._report = report
        self.legs: list[Leg] = []
        self.first_bytes: list[FirstBytes] = []
        self.notes: list[str] = []

    async def subject(self, subject: Subject) -> None:
        """Run all measurements with the pods of one kind.

        Raises:
            BenchError: The pods do not start, or an address does not answer.
        """
        legs: list[Leg] = []
        task = f"{subject.title}, requests"
        self._report(Progress(task, "starting two pods"))
        measure = functools.partial(self._measure, subject, task, legs)
        timelines = await self._rounds.run(subject, 2, measure)
        failures = [each.failure for each in timelines if not each.complete]
        if failures:
            raise BenchError(f"no pod became Ready on {subject.title}: {'; '.join(failures)}")
        known = replace(subject, driver=timelines[0].driver)
        self.legs += [replace(each, subject=known) for each in legs]
        self._report(Progress(task, "measured", 1, 1))
        self.first_bytes.append(FirstBytes(known, await self._starts(known)))

    async def _measure(
        self, subject: Subject, task: str, legs: list[Leg], running: Sequence[Running]
    ) -> None:
        if len(running) != 2:
            return
        server, caller = running
        places = await self._ways(server.pod)
        loader = Loader(self._client, self._namespace, caller.pod)
        for number, (way, place) in enumerate(places.items()):
            self._report(Progress(task, way.value, number, len(places)))
            legs.append(await self._leg(subject, way, f"http://{place}/", loader))

    async def _leg(self, subject: Subject, way: Way, url: str, loader: Loader) -> Leg:
        await until_answers(loader, url, f"{subject.title}: {way.value}")
        connections, seconds = self._options.connections, self._options.seconds
        loads = [
            await loader.run(each, connections=connections, seconds=length)
            for each in (url, f"{url}?size={BODY_BYTES}")
            for length in (_WARM_UP_S, seconds)
        ]
        return Leg(subject, way, small=loads[1], large=loads[3])

    async def _ways(self, server: str) -> dict[Way, str]:
        """Create load balancers in front of a pod; returns its URL for each path."""
        service = network_balancer(server, self._namespace, {NAME_LABEL: server}, INTERNAL)
        await self._client.create(service)
        await self._client.create(application_balancer(service))
        pod = await self._client.get(Pod, server, self._namespace)
        address = pod.status.podIP if pod.status else None
        return {
            Way.DIRECT: f"{address}:{PORT}",
            Way.NLB: await self._address(Service, server),
            Way.ALB: await self._address(Ingress, server),
        }

    async def _address(self, kind: type[Service] | type[Ingress], name: str) -> str:
        return await balancer_address(self._client, kind, name, self._namespace)

    async def _starts(self, subject: Subject) -> tuple[float, ...]:
        """Measure starts; failed ones become notes."""
        task = f"{subject.title}, first byte"
        kind = kind_label(subject)
        await self._client.create(
            network_balancer(kind, self._namespace, {KIND_LABEL: kind}, INTERNET_FACING)
        )
        address = await self._address(Service, kind)
        found: list[float] = []
        for number in range(self._options.repeats):
            self._report(Progress(task, f"start {number + 1}", number, self._options.repeats))
            asking = asyncio.create_task(first_byte(address, 80))
            try:
                wait = functools.partial(_wait, asking, found)
                (timeline,) = await self._rounds.run(subject, 1, wait)
            finally:
                asking.cancel()
                with suppress(asyncio.CancelledError):
                    await asking
            if not timeline.complete:
                self.notes.append(f"{subject.title}: {timeline.pod}: {timeline.failure}")
        self._report(Progress(task, "measured", 1, 1))
        return tuple(found)


async def _wait(
    asking: asyncio.Task[float], found: list[float], running: Sequence[Running]
) -> None:
    for each in running:
        try:
            async with asyncio.timeout(WITHIN_S):
                found.append(await asyncio.shield(asking) - each.ready_at)
        except TimeoutError:
            raise BenchError(
                f"no answer through the load balancer {WITHIN_S:.0f} s after {each.pod} was Ready"
            ) from None


async def bench_network(
    cluster: Cluster, fortio: Path, options: NetworkBenchOptions, report: ProgressReport
) -> NetworkReport:
    """Measure requests between pods of a running cluster.

    Args:
        cluster: The cluster.
        fortio: Path of the Fortio program.
        options: Parameters of the run.
        report: Receives progress.

    Raises:
        BenchError: Another benchmark is running, pods do not start, a load balancer does not
            answer, or the run's objects are not deleted.
        KubeError: The API server rejected a request or was unreachable.
        ImageError: The registry rejects the image.
    """
    before, taken_at = host(), moment()
    async with (
        exclusive(cluster.kubeconfig),
        connect(cluster.kubeconfig, _USER_AGENT) as client,
        run_namespace(client) as name,
        watching(client, name) as observations,
    ):
        image = await fortio_image(cluster, fortio, report)
        make_pod = functools.partial(fortio_pod, image=image.reference, cpu=options.cpu)
        rounds = Rounds(client, name, cluster.machines, observations, make_pod)
        run = _Run(client, name, rounds, options, report)
        for driver in options.drivers:
            await run.subject(Subject(Kind.MICROVM, driver))
        if options.baseline:
            async with (
                reserved_block(client, name) as pods,
                baseline_node(cluster, client, report, image, pods=pods),
            ):
                await run.subject(Subject(Kind.BASELINE))
    return NetworkReport(
        taken_at=taken_at,
        host=before,
        image=image.reference,
        connections=options.connections,
        seconds=options.seconds,
        legs=tuple(run.legs),
        first_bytes=tuple(run.first_bytes),
        notes=tuple(run.notes),
        cpu=options.cpu,
    )
