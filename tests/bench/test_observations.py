"""Watch events become phases, in whichever order they arrive."""

import asyncio
from itertools import permutations
from typing import Any

import pytest
from lightkube.resources.core_v1 import Node, Pod
from msgspec import convert

from monopod.api.resources import MicroVM
from monopod.bench.observations import Observations
from monopod.bench.phases import Phase
from monopod.kube import Added, Change, Deleted, Modified

pytestmark = pytest.mark.unit

NODE = "fargate-ip-1"


class Clock:
    """Advances by one second at each reading."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def pod(node: str = "", ready: str = "False", **status: Any) -> Pod:
    return convert(
        {
            "metadata": {"name": "p", "uid": "u"},
            "spec": {"containers": [], "nodeName": node or None},
            "status": {"conditions": [{"type": "Ready", "status": ready}], **status},
        },
        Pod,
    )


def machine(launched: str = "False", node: str = NODE) -> MicroVM:
    return convert(
        {
            "metadata": {"name": "mvm-1"},
            "spec": {
                "podRef": {"namespace": "n", "name": "p", "uid": "u"},
                "profile": "fp",
                "subnet": "s",
                "milliCPU": 250,
                "memoryMiB": 512,
            },
            "status": {
                "nodeName": node,
                "conditions": [{"type": "Launched", "status": launched}],
            },
        },
        MicroVM,
    )


def node(kubelet: str = "v1") -> Node:
    info = dict.fromkeys(
        ("architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion",
         "machineID", "operatingSystem", "osImage", "systemUUID"), ""
    )  # fmt: skip
    return convert(
        {
            "metadata": {"name": NODE},
            "status": {"nodeInfo": {**info, "kubeletVersion": kubelet}},
        },
        Node,
    )


def modified(obj: Any) -> Change[Any]:
    return Modified("key", obj, obj)


def test_every_phase_is_recorded_at_its_first_observation() -> None:
    seen = Observations(Clock())
    seen.pod_changed(Added("p", pod()))  # 1
    seen.machine_changed(Added("mvm-1", machine(node="")))  # 2
    seen.machine_changed(modified(machine()))  # 3
    seen.machine_changed(modified(machine("True")))  # 4
    seen.node_changed(Added(NODE, node(kubelet="")))  # 5
    seen.node_changed(modified(node()))  # 6
    seen.node_changed(modified(node()))  # 7
    seen.pod_changed(modified(pod(NODE)))  # 8
    seen.pod_changed(modified(pod(NODE, "True")))  # 9
    seen.pod_changed(modified(pod(NODE, "True")))  # 10
    assert seen.moments("u") == {
        Phase.CLAIMED: 2,
        Phase.LAUNCHED: 4,
        Phase.REGISTERED: 6,
        Phase.BOUND: 8,
        Phase.READY: 9,
    }
    assert seen.machine("u") == "mvm-1"
    assert seen.node("u") == NODE
    assert seen.is_ready("u")


def test_watches_may_report_in_any_order() -> None:
    for order in permutations(range(3)):
        seen = Observations(Clock())
        changes = (
            lambda s=seen: s.machine_changed(Added("mvm-1", machine("True"))),
            lambda s=seen: s.node_changed(Added(NODE, node())),
            lambda s=seen: s.pod_changed(Added("p", pod(NODE, "True"))),
        )
        for each in order:
            changes[each]()
        assert set(seen.moments("u")) == set(Phase) - {Phase.ADMITTED, Phase.BOOTED}


def test_a_baseline_node_has_no_registration_phase() -> None:
    seen = Observations(Clock())
    seen.node_changed(Added(NODE, node()))
    seen.pod_changed(Added("p", pod(NODE)))
    assert set(seen.moments("u")) == {Phase.BOUND}


def test_a_reused_node_name_is_another_node() -> None:
    seen = Observations(Clock())
    seen.node_changed(Added(NODE, node()))
    seen.node_changed(Deleted(NODE, node()))
    seen.node_changed(Added(NODE, node(kubelet="")))
    seen.machine_changed(Added("mvm-1", machine("True")))
    assert Phase.REGISTERED not in seen.moments("u")


async def test_gone_means_pod_and_machine() -> None:
    seen = Observations(Clock())
    seen.pod_changed(Added("p", pod()))
    seen.machine_changed(Added("mvm-1", machine()))
    waiting = asyncio.create_task(seen.until(lambda: seen.is_gone("u"), 5))
    await asyncio.sleep(0)
    seen.pod_changed(Deleted("p", pod()))
    assert not seen.is_gone("u")
    seen.machine_changed(Deleted("mvm-1", machine()))
    assert await waiting
    assert not await seen.until(lambda: False, 0.01)


def test_last_word_is_what_a_late_pod_waits_for() -> None:
    seen = Observations(Clock())
    assert seen.waiting_reason("u") == "the pod does not exist"
    seen.pod_changed(
        Added(
            "p",
            pod(
                conditions=[
                    {"type": "PodScheduled", "status": "False", "reason": "CapacityUnavailable",
                     "message": "no capacity"},
                ]
            ),
        )
    )  # fmt: skip
    assert seen.waiting_reason("u") == "PodScheduled: CapacityUnavailable no capacity"
    waiting = {"waiting": {"reason": "ErrImageNeverPull"}}
    seen.pod_changed(
        modified(
            pod(
                conditions=[],
                containerStatuses=[
                    {"name": "main", "image": "", "imageID": "", "ready": False, "restartCount": 0,
                     "state": waiting}
                ],
            )
        )
    )  # fmt: skip
    assert seen.waiting_reason("u") == "container main: ErrImageNeverPull"


@pytest.mark.parametrize("phase", ["Pending", "Running"])
def test_last_word_falls_back_to_the_phase(phase: str) -> None:
    seen = Observations(Clock())
    seen.pod_changed(Added("p", pod(phase=phase, conditions=[])))
    assert seen.waiting_reason("u") == f"phase {phase}"
