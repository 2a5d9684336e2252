"""Runs the scale benchmark: a control plane, the real controllers, simulated machines.

What is real: etcd, kube-apiserver, upstream's signer, and the scheduler and the MicroVM controllers
as processes with the rights that they have in a cluster. What is simulated: machines, their
kubelets and the hosts; :mod:`monopod.bench.scale.kubelets` lists their calls.
"""

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monopod.api.constants import ACTIVE
from monopod.api.resources import FargateProfile
from monopod.bench.errors import BenchError
from monopod.bench.informers import until
from monopod.bench.pods import bench_namespace, bench_profile
from monopod.bench.run import host, moment
from monopod.bench.scale import objects
from monopod.bench.scale.calls import ADMIN, Call
from monopod.bench.scale.control_plane import ControlPlane, control_plane
from monopod.bench.scale.report import ScaleReport, Step, step, steps
from monopod.bench.scale.starts import Starts
from monopod.bench.scale.usage import Usage, usage_of
from monopod.build.components import Components
from monopod.kube import Client, connect
from monopod.settings import Settings
from monopod.util.progress import Progress
from monopod.util.progress import Report as ProgressReport

_ACTIVE_WITHIN_S: Final = 30.0
_SILENT: Final = 4
"""Intervals of renewal after which the MicroVM controller gives a kubelet up, as by default."""
_SETTLE_S: Final = 1.0
"""The audit log and the last events of a step arrive within it."""
_OWN: Final = "this benchmark"
_HERE: Final = "monopod.bench.scale"
_DNS: Final = "10.100.0.10"
"""In the configuration of machines; none of them asks it."""


@dataclass(frozen=True, slots=True)
class ScaleBenchOptions:
    """Parameters of a run."""

    pods: int = 1_000
    """Pods that run at the end."""
    hosts: int = 100
    """Simulated hosts: nodes whose Leases are renewed."""
    rate: float = 0.0
    """Pods created per second; 0 means as fast as they start."""
    at_once: int = 100
    """Most pods that are created and do not run yet."""
    renew_s: float = 10.0
    """Interval at which each node's Lease is renewed, in seconds; the default is the kubelet's."""
    minutes: float = 10.0
    """Minutes after which no pod is created any more, however many run."""


async def bench_scale(
    programs: Components,
    manifests: Sequence[Mapping[str, Any]],
    options: ScaleBenchOptions,
    report: ProgressReport,
) -> ScaleReport:
    """Start pods on simulated machines, and measure at growing numbers of them.

    Args:
        programs: Upstream's programs.
        manifests: Custom resource definitions and Monopod's RBAC.
        options: Parameters of the run.
        report: Receives the progress.

    Raises:
        BenchError: A process does not start, or no pod starts for two minutes.
    """
    taken_at, on = moment(), host()
    with tempfile.TemporaryDirectory(prefix="monopod-scale-") as scratch:
        report(Progress("control plane", "etcd, kube-apiserver, kube-controller-manager"))
        async with (
            control_plane(Path(scratch), programs, manifests) as plane,
            connect(plane.kubeconfig("admin"), ADMIN) as client,
            _cluster(plane, client, options, report),
        ):
            found = await _measure(plane, client, options, report)
    return ScaleReport(
        taken_at=taken_at,
        host=on,
        hosts=options.hosts,
        at_once=options.at_once,
        rate=options.rate,
        renew_s=options.renew_s,
        steps=tuple(found),
    )


@asynccontextmanager
async def _cluster(
    plane: ControlPlane, client: Client, options: ScaleBenchOptions, report: ProgressReport
) -> AsyncGenerator[None]:
    """Run the controllers and the simulated kubelets, and create what pods need."""
    region = Settings.model_fields["region"].default
    report(Progress("control plane", "running", 1, 1))
    report(Progress("controllers", f"{options.hosts} hosts, scheduler, MicroVM controllers"))
    await client.create(bench_namespace(objects.NAMESPACE))
    await client.create(objects.service_account())
    await client.create(objects.vpc())
    for subnet in objects.subnets(region):
        await client.create(subnet)
    async with (
        plane.running("kubelets", f"{_HERE}.kubelets", options.hosts, options.renew_s),
        plane.running(
            "scheduler", "monopod.controllers.scheduler", MONOPOD_SCHEDULER_METRICS_PORT=0
        ),
        plane.running(
            "microvm",
            f"{_HERE}.microvm",
            options.hosts,
            MONOPOD_MICROVM_API_SERVER=plane.url,
            MONOPOD_MICROVM_CLUSTER_DNS=_DNS,
            MONOPOD_MICROVM_SILENT_TIMEOUT_S=options.renew_s * _SILENT,
        ),
    ):
        await client.create(bench_profile(objects.NAMESPACE))
        if not await until(client, FargateProfile, _active, within_s=_ACTIVE_WITHIN_S):
            raise BenchError("the scheduler does not make the profile active")
        report(Progress("controllers", "ready", 1, 1))
        yield


def _active(profiles: list[FargateProfile]) -> bool:
    return any(each.status is not None and each.status.status == ACTIVE for each in profiles)


async def _measure(
    plane: ControlPlane, client: Client, options: ScaleBenchOptions, report: ProgressReport
) -> list[Step]:
    starts = Starts(
        client,
        at_once=options.at_once,
        rate=options.rate,
        within_s=options.minutes * 60,
        report=lambda running: report(Progress("pods", "running", running, options.pods)),
    )
    found: list[Step] = []
    async with starts.following():
        before, calls = _usage(plane), Counter(plane.calls)
        for size in steps(options.pods):
            started = await starts.up_to(size)
            if not started:
                break
            await asyncio.sleep(_SETTLE_S)
            after, newer = _usage(plane), Counter(plane.calls)
            found.append(
                step(
                    starts.running,
                    started,
                    _per_start(newer - calls, len(started)),
                    {
                        name: Usage(now.resident_mib, now.cpu_s - before[name].cpu_s)
                        for name, now in after.items()
                    },
                )
            )
            before, calls = after, newer
    report(Progress("pods", f"{starts.running} run", 1, 1))
    return found


def _usage(plane: ControlPlane) -> dict[str, Usage]:
    every = {**plane.processes, _OWN: os.getpid()}
    return {name: used for name, pid in every.items() if (used := usage_of(pid)) is not None}


def _per_start(calls: Counter[Call], starts: int) -> dict[Call, float]:
    return {call: number / starts for call, number in sorted(calls.items())}
