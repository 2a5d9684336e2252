"""Measures idle machines in launcher pods, by what the kubelets of their hosts report."""

import asyncio
import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from monopod.bench.report import Footprint
from monopod.bench.statistics import spread
from monopod.kube import Client, KubeError

SETTLE_S: Final = 20.0
"""Seconds that machines get to settle first; a kubelet reads its pods' usage every ten."""
WATCH_S: Final = 40.0
_MIB: Final = 1 << 20


class _Reference(msgspec.Struct, rename="camel"):
    name: str


class _Cpu(msgspec.Struct, rename="camel"):
    time: dt.datetime
    usage_core_nano_seconds: int | None = None


class _Memory(msgspec.Struct, rename="camel"):
    working_set_bytes: int | None = None


class Usage(msgspec.Struct, rename="camel"):
    """The usage of a pod."""

    pod_ref: _Reference
    cpu: _Cpu | None = None
    memory: _Memory | None = None


class _Summary(msgspec.Struct):
    pods: list[Usage] = []


async def measure(
    client: Client,
    driver: str,
    hosts: Mapping[str, str],
    *,
    settle_s: float = SETTLE_S,
    watch_s: float = WATCH_S,
) -> Footprint:
    """Measure machines over a period in which nothing else should start or stop.

    Args:
        client: Client of an administrator.
        driver: The machines' driver.
        hosts: The node that each machine's launcher pod runs on, by the machine's name.
        settle_s: Seconds to wait first.
        watch_s: Seconds over which CPU time is counted.
    """
    await asyncio.sleep(settle_s)
    before = await _usages(client, hosts)
    await asyncio.sleep(watch_s)
    after = await _usages(client, hosts)
    working_sets = (each.memory and each.memory.working_set_bytes for each in after.values())
    watched = {name: watched_s(before[name], after[name]) for name in before.keys() & after.keys()}
    return Footprint(
        driver=driver,
        machines=len(hosts),
        processes_mib=spread([each / _MIB for each in working_sets if each is not None]),
        disks_mib=None,
        root_image_mib=None,
        guest_mib=None,
        idle_cpu_percent=spread(
            [
                percent
                for name in watched
                if (percent := cpu_percent(before[name], after[name])) is not None
            ]
        ),
        watched_s=max(watched.values(), default=0.0),
    )


def watched_s(before: Usage, after: Usage) -> float:
    """Return the seconds between two readings of a pod's CPU time."""
    if before.cpu is None or after.cpu is None:
        return 0.0
    return (after.cpu.time - before.cpu.time).total_seconds()


def cpu_percent(before: Usage, after: Usage) -> float | None:
    """Return a pod's CPU time between two readings, in per cent of a core. None means unknown."""
    seconds = watched_s(before, after)
    used = [each.cpu and each.cpu.usage_core_nano_seconds for each in (before, after)]
    if seconds <= 0 or used[0] is None or used[1] is None:
        return None
    return (used[1] - used[0]) / 1e9 / seconds * 100


async def _usages(client: Client, hosts: Mapping[str, str]) -> dict[str, Usage]:
    """Return the usage of each machine's launcher pod, which has the machine's name."""
    summaries = await asyncio.gather(*(_summary(client, host) for host in set(hosts.values())))
    return {
        name: usage for pods in summaries for usage in pods if (name := usage.pod_ref.name) in hosts
    }


async def _summary(client: Client, host: str) -> Iterable[Usage]:
    try:
        said = await client.raw(f"/api/v1/nodes/{host}/proxy/stats/summary")
        return msgspec.json.decode(said, type=_Summary).pods
    except (KubeError, msgspec.DecodeError):
        return ()
