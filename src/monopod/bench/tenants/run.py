"""One run with two tenants, from two empty namespaces to the report."""

import asyncio
import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml
from lightkube.resources.core_v1 import Pod, Service

from monopod.bench.cluster import Cluster
from monopod.bench.environment import exclusive, run_namespace, tenant_namespace
from monopod.bench.errors import BenchError
from monopod.bench.informers import until
from monopod.bench.network.balancers import WITHIN_S, balancer_address, until_answers
from monopod.bench.network.image import fortio_image
from monopod.bench.network.loads import Loader
from monopod.bench.network.manifests import INTERNAL, NAME_LABEL, fortio_pod, network_balancer
from monopod.bench.phases import Kind, Phase, Subject
from monopod.bench.rounds import Rounds, Running, watching
from monopod.bench.run import host, moment
from monopod.bench.statistics import percentile
from monopod.bench.tenants.image import attack_image
from monopod.bench.tenants.manifests import USER, hostile_pod, kubeconfig, user
from monopod.bench.tenants.report import Figure, TenantsReport
from monopod.kube import Client, connect
from monopod.util import process
from monopod.util.progress import Progress
from monopod.util.progress import Report as ProgressReport

_USER_AGENT: Final = "monopod-bench"
_SUBJECT: Final = Subject(Kind.MICROVM)
_CONNECTIONS: Final = 4
_RATE: Final = 100
"""Requests per second: a load that leaves both pods' processors idle for the most part."""
_CPU: Final = "250m"
_MEMORY: Final = "512Mi"
"""Of each of the tenant's pods: the least size, so that even a small host need not overcommit."""
_ELSEWHERE: Final = ("chrt", "--rr", "1")
"""Before kubectl, which a tenant runs on another computer: it does not wait for this one's CPU."""
_READY_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class TenantsBenchOptions:
    """Parameters of a run."""

    seconds: int = 15
    """Duration of each load of requests."""
    starts: int = 5
    """Sequential pod starts."""
    calls: int = 15
    """Sequential calls of kubectl."""
    pods: int = 6
    """The attacker's pods that fill disks and connection tables."""
    gib: int = 1
    """What each of them writes, again and again."""
    warm_up_s: float = 15.0
    """How long the attack lasts before anything is measured."""


@dataclass(slots=True)
class _Samples:
    """What one tenant measured."""

    p50_s: float | None = None
    p99_s: float | None = None
    starts: list[float] = field(default_factory=list[float])
    calls: list[float] = field(default_factory=list[float])
    failures: list[str] = field(default_factory=list[str])

    def figures(self) -> dict[str, float | None]:
        """Return the figures by name, in seconds."""
        return {
            "request through a load balancer, p50": self.p50_s,
            "request through a load balancer, p99": self.p99_s,
            "pod start, p50": _percentile(self.starts, 50),
            "kubectl get, p50": _percentile(self.calls, 50),
            "kubectl get, p95": _percentile(self.calls, 95),
        }


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return percentile(values, percent) if values else None


class _Tenant:
    """The tenant whose figures are taken."""

    def __init__(
        self,
        rounds: Rounds,
        loader: Loader,
        url: str,
        kubectl: Sequence[str | Path],
        *,
        options: TenantsBenchOptions,
        report: ProgressReport,
    ) -> None:
        self._rounds = rounds
        self._loader = loader
        self._url = url
        self._kubectl = kubectl
        self._options = options
        self._report = report

    async def measure(self, task: str) -> _Samples:
        """Take all figures; what fails is in the samples' failures."""
        samples = _Samples()
        self._report(Progress(task, "requests", 0, 3))
        try:
            load = await self._loader.run(
                self._url,
                connections=_CONNECTIONS,
                seconds=self._options.seconds,
                rate=_RATE,
            )
            samples.p50_s, samples.p99_s = load.p50_s, load.p99_s
            if load.failed:
                samples.failures.append(f"{load.failed} of {load.count} requests failed")
        except BenchError as error:
            samples.failures.append(str(error))
        for number in range(self._options.starts):
            self._report(Progress(task, f"start {number + 1}", 1, 3))
            (timeline,) = await self._rounds.run(_SUBJECT, 1)
            if timeline.failure:
                samples.failures.append(f"{timeline.pod}: {timeline.failure}")
            else:
                samples.starts.append(timeline.moments[Phase.READY])
        self._report(Progress(task, "calls of kubectl", 2, 3))
        for _ in range(self._options.calls):
            began = time.monotonic()
            try:
                await process.run(*self._kubectl, "get", "pods", timeout_s=WITHIN_S)
            except process.ProcessError as error:
                samples.failures.append(str(error))
            else:
                samples.calls.append(time.monotonic() - began)
        self._report(Progress(task, "measured", 3, 3))
        samples.failures = [f"{task}: {each}" for each in samples.failures]
        return samples


async def bench_tenants(
    cluster: Cluster, fortio: Path, options: TenantsBenchOptions, report: ProgressReport
) -> TenantsReport:
    """Measure one tenant, alone and while another attacks all that both share.

    Args:
        cluster: The cluster.
        fortio: Path of the Fortio program.
        options: Parameters of the run.
        report: Receives progress.

    Raises:
        BenchError: Another benchmark is running, or the pods do not start.
        KubeError: The API server rejected a request or was unreachable.
        ImageError: The registry rejects an image.
    """
    before, taken_at = host(), moment()
    with tempfile.TemporaryDirectory(prefix="monopod-") as scratch:
        async with (
            exclusive(cluster.kubeconfig),
            connect(cluster.kubeconfig, _USER_AGENT) as client,
            run_namespace(client) as victim,
            tenant_namespace(client, f"{victim}-hostile") as hostile,
            watching(client, victim) as observations,
        ):
            served = await fortio_image(cluster, fortio, report)
            attack = await attack_image(cluster, report)
            make_pod = functools.partial(
                fortio_pod, image=served.reference, cpu=_CPU, memory=_MEMORY
            )
            servers = Rounds(client, victim, cluster.machines, observations, make_pod)
            rounds = Rounds(client, victim, cluster.machines, observations, prefix="s")
            files = {
                each: await _user(cluster, client, each, Path(scratch) / f"{each}.yaml")
                for each in (victim, hostile)
            }
            program = cluster.programs / "kubectl"
            kubectl = (*_ELSEWHERE, program, f"--kubeconfig={files[victim]}")
            found: list[TenantsReport] = []

            async def while_running(running: Sequence[Running]) -> None:
                if len(running) != 2:
                    raise BenchError("the tenant's two pods did not start")
                server, caller = running
                url = await _serve(client, victim, server.pod)
                loader = Loader(client, victim, caller.pod)
                tenant = _Tenant(rounds, loader, url, kubectl, options=options, report=report)
                await until_answers(loader, url, "the tenant's load balancer")
                quiet = await tenant.measure("quiet")
                assailant = _Attacker(client, hostile, attack, files[hostile], options)
                async with assailant.attacking(report):
                    attacked = await tenant.measure("under attack")
                names = quiet.figures()
                found.append(
                    TenantsReport(
                        taken_at=taken_at,
                        host=before,
                        figures=[
                            Figure(name, names[name], value)
                            for name, value in attacked.figures().items()
                        ],
                        attack=assailant.counts,
                        seconds=assailant.seconds,
                        notes=[*quiet.failures, *attacked.failures],
                    )
                )

            timelines = await servers.run(_SUBJECT, 2, while_running)
    if not found:
        raise BenchError(f"no figures: {'; '.join(each.failure for each in timelines)}")
    return found[0]


class _Attacker:
    """The tenant that attacks: its pods, and a client of the API."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        image: str,
        kubeconfig_file: Path,
        options: TenantsBenchOptions,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._image = image
        self._kubeconfig = kubeconfig_file
        self._options = options
        self.counts: dict[str, int] = {}
        self.seconds = 0.0

    @asynccontextmanager
    async def attacking(self, report: ProgressReport) -> AsyncGenerator[None]:
        """Attack for the length of a block."""
        report(Progress("attack", "starts its pods"))
        target = await self._first_pod()
        for number in range(1, self._options.pods):
            await self._client.create(self._pod(number, target))
        ready = await self._wait_ready()
        began = time.monotonic()
        argv = (sys.executable, "-m", "monopod.bench.tenants.attacker")
        child = await asyncio.create_subprocess_exec(
            *(*argv, str(self._kubeconfig), self._namespace),
            stdout=asyncio.subprocess.PIPE,
            env=dict(os.environ),
            # Its CPU is not taken from the rest of the benchmark, either.
            start_new_session=True,
        )
        try:
            report(Progress("attack", f"{ready} pods and a client attack"))
            await asyncio.sleep(self._options.warm_up_s)
            yield
        finally:
            if child.returncode is None:
                child.terminate()
            printed, _ = await child.communicate()
            self.seconds = time.monotonic() - began
            # The last line; those before are its log.
            counts = json.loads((printed.splitlines() or [b"{}"])[-1])
            self.counts = {**counts, "attacking pods": ready}
            report(Progress("attack", "ended", 1, 1))

    def _pod(self, number: int, target: str) -> Pod:
        name = f"attack-{number}"
        return hostile_pod(name, self._namespace, self._image, self._options.gib, target)

    async def _first_pod(self) -> str:
        """Start the pod that the others send to; returns its address."""
        await self._client.create(self._pod(0, "127.0.0.1"))
        await self._wait_ready()
        pod = await self._client.get(Pod, "attack-0", self._namespace)
        address = pod.status.podIP if pod.status else None
        if not address:
            raise BenchError("the attacker's first pod did not start")
        return address

    async def _wait_ready(self) -> int:
        """Wait until all pods run, or for some minutes; returns how many do."""
        await until(
            self._client,
            Pod,
            lambda found: all(map(_is_running, found)),
            within_s=_READY_S,
            namespace=self._namespace,
        )
        pods = (await self._client.list(Pod, self._namespace)).items
        return sum(_is_running(each) for each in pods)


def _is_running(pod: Pod) -> bool:
    return pod.status is not None and pod.status.phase == "Running"


async def _user(cluster: Cluster, client: Client, namespace: str, path: Path) -> Path:
    """Create a tenant's user and write its kubeconfig."""
    account, binding = user(namespace)
    await client.create(account)
    await client.create(binding)
    admin = f"--kubeconfig={cluster.kubeconfig}"
    words = ("create", "token", USER, f"--namespace={namespace}", "--duration=1h")
    token = await process.run(cluster.programs / "kubectl", admin, *words)
    known = yaml.safe_load(await asyncio.to_thread(cluster.kubeconfig.read_text))
    server = known["clusters"][0]["cluster"]["server"]
    config = kubeconfig(server, str(cluster.ca_certificate), namespace, token.strip())
    await asyncio.to_thread(path.write_text, yaml.safe_dump(config))
    return path


async def _serve(client: Client, namespace: str, pod: str) -> str:
    """Put a load balancer in front of a pod; returns its URL."""
    await client.create(network_balancer(pod, namespace, {NAME_LABEL: pod}, INTERNAL))
    return f"http://{await balancer_address(client, Service, pod, namespace)}/"
