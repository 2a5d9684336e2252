"""What kubelets say of launcher pods, as figures."""

import json
from typing import Any

import pytest

from monopod.bench import host_kubelets
from monopod.kube import Client, NotFoundError

pytestmark = pytest.mark.unit


class _Kubelets(Client):
    """Each answer of a host is of ten seconds later, in which a pod used half a core."""

    def __init__(self) -> None:
        self._asked = dict.fromkeys(("host-1", "host-2"), 0)

    async def raw(self, path: str, query: object = None) -> bytes:
        host = path.split("/")[4]
        if host not in self._asked:
            raise NotFoundError(f"{host} is gone")
        self._asked[host] += 1
        cpu = {
            "time": f"2026-11-30T12:00:{self._asked[host] * 10}Z",
            "usageCoreNanoSeconds": self._asked[host] * 5_000_000_000,
        }
        pods = [
            {"podRef": {"name": "other", "namespace": "x"}, "cpu": cpu},
            {
                "podRef": {"name": f"mvm-{host}", "namespace": "monopod-machines"},
                "cpu": cpu,
                "memory": {"time": cpu["time"], "workingSetBytes": 64 << 20},
            },
            # As a kubelet reports a pod that it has not read yet.
            {"podRef": {"name": "mvm-new"}, "cpu": {"time": cpu["time"]}},
        ]
        return json.dumps({"node": {}, "pods": pods}).encode()


async def _measure(hosts: dict[str, str]) -> Any:
    return await host_kubelets.measure(_Kubelets(), "gvisor", hosts, settle_s=0, watch_s=0)


async def test_memory_and_cpu_are_those_of_the_machines_launcher_pods() -> None:
    found = await _measure({"mvm-host-1": "host-1", "mvm-host-2": "host-2"})
    assert found.machines == 2
    assert found.processes_mib.p50 == 64
    assert found.idle_cpu_percent.p95 == 50
    assert found.watched_s == 10


async def test_a_host_that_does_not_answer_leaves_its_machines_unknown() -> None:
    found = await _measure({"mvm-host-3": "host-3"})
    assert found.processes_mib is None
    assert found.idle_cpu_percent is None
    found = await _measure({"mvm-host-3": "host-3", "mvm-new": "host-1", "mvm-host-2": "host-2"})
    assert found.processes_mib.p95 == 64
    assert found.idle_cpu_percent.p50 == 50
