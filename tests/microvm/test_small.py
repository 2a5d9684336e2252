"""Small pure parts: state from objects, conditions, the observed cache, a failed pod's status."""

from datetime import timedelta
from typing import Any, get_args
from unittest.mock import Mock

import msgspec
import pytest
from lightkube.models.core_v1 import PodSpec
from lightkube.resources.core_v1 import Node, Pod

from monopod.controllers.microvm import actions, conditions
from monopod.controllers.microvm.handlers import Handlers
from monopod.controllers.microvm.observed import ObservedCache
from monopod.controllers.microvm.pod_failure import failed_status
from monopod.controllers.microvm.state import NodeState, PodState, of_node, of_pod
from monopod.node.provider import MachineExit, Presence
from tests.microvm.build import ADDRESSED, LAUNCHED, NAME, NOW, READY, UID, condition, machine

pytestmark = pytest.mark.unit

POD_UID = "a"
STARTED = "2026-11-23T17:59:00Z"
RUNNING: dict[str, Any] = {"running": {"startedAt": STARTED}}
WAITING: dict[str, Any] = {"waiting": {"reason": "PodInitializing"}}
ENDED: dict[str, Any] = {"state": {"terminated": {"exitCode": 137}}}
CREATED: dict[str, Any] = {"containerID": "containerd://1"}
OWN = machine()
OWN.spec.podRef.uid = POD_UID


def pod(**status: Any) -> Pod:
    return msgspec.convert(
        {"metadata": {"name": "web", "uid": POD_UID, "resourceVersion": "7"}, "status": status},
        Pod,
    )


def container(state: dict[str, Any], name: str = "main") -> dict[str, Any]:
    base = {"name": name, "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    return base | {"state": state}


def test_a_pod_with_another_uid_is_ignored() -> None:
    assert of_pod(pod(), machine()) is None
    assert of_pod(None, OWN) is None
    assert of_pod(pod(), OWN) == PodState()


@pytest.mark.parametrize(
    ("status", "ran"),
    [
        (
            {"phase": "Failed", "reason": "SysctlForbidden", "message": "Pod was rejected: no"},
            False,
        ),
        (
            {
                "phase": "Failed",
                "reason": "DeadlineExceeded",
                "containerStatuses": [{"state": WAITING}],
            },
            False,
        ),
        ({"phase": "Failed", "reason": "Evicted", "containerStatuses": [ENDED]}, True),
        ({"phase": "Failed", "containerStatuses": [CREATED]}, True),
        (
            {
                "phase": "Failed",
                "initContainerStatuses": [ENDED],
                "containerStatuses": [{"state": WAITING}],
            },
            True,
        ),
        ({"phase": "Succeeded"}, True),
    ],
)
def test_a_pod_has_run_once_a_container_of_it_was_created(
    status: dict[str, Any], ran: bool
) -> None:
    for field in ("initContainerStatuses", "containerStatuses"):
        if field in status:
            status = status | {field: [container({}) | each for each in status[field]]}
    seen = of_pod(pod(**status), OWN)
    assert seen is not None
    assert (seen.finished, seen.ran) == (True, ran)
    assert seen.failure.startswith(status.get("reason", ""))


def test_a_pod_resized_before_it_is_bound_may_outgrow_its_machine() -> None:
    spec = {"containers": [{"name": "m", "resources": {"requests": {"cpu": "251m"}}}]}
    grown = pod()
    grown.spec = msgspec.convert(spec, PodSpec)
    seen = of_pod(grown, OWN)
    assert seen is not None
    assert seen.outgrown.startswith("The pod needs 0.251 vCPU")
    grown.spec.nodeName = "n"
    bound = of_pod(grown, OWN)
    assert bound is not None
    assert not bound.outgrown


def test_a_pod_has_started_once_all_its_containers_have() -> None:
    both = [container(RUNNING), container(WAITING, "side")]
    half = of_pod(pod(containerStatuses=both), OWN)
    assert half is not None
    assert (half.started, half.first_ran) == (False, NOW - timedelta(minutes=1))
    whole = of_pod(pod(containerStatuses=[container(RUNNING)] * 2), OWN)
    assert whole is not None
    assert whole.started


def test_a_container_that_crashed_has_started() -> None:
    crashed = container(WAITING) | {
        "lastState": {"terminated": {"exitCode": 1, "startedAt": STARTED}}
    }
    seen = of_pod(pod(containerStatuses=[crashed]), OWN)
    assert seen is not None
    assert seen.started


def test_a_node_is_a_machines_own_by_owner_reference_only() -> None:
    owners = [{"apiVersion": "monopod.dev/v1alpha1", "kind": "MicroVM", "name": NAME, "uid": UID}]
    own = msgspec.convert({"metadata": {"name": "n", "ownerReferences": owners}}, Node)
    labelled = {"metadata": {"name": "n", "labels": {"monopod.dev/microvm": NAME}}}
    assert of_node(own, machine()) == NodeState(ours=True)
    assert of_node(msgspec.convert(labelled, Node), machine()) == NodeState(ours=False)


def test_a_condition_keeps_its_time_until_status_or_reason_change() -> None:
    old = [condition("Launched", "False", "Queued", "before", age_s=9)]
    (kept,) = conditions.set_in(
        old, conditions.changed("Launched", False, "Queued", "after"), now=NOW
    )
    assert (kept.message, kept.lastTransitionTime) == ("after", old[0].lastTransitionTime)
    (turned,) = conditions.set_in(
        old, conditions.changed("Launched", False, "Launching", ""), now=NOW
    )
    assert conditions.since(turned) == NOW


def test_conditions_are_ordered_by_lifecycle() -> None:
    late = conditions.set_in([READY], LAUNCHED, ADDRESSED, now=NOW)
    assert [each.type for each in late] == ["Addressed", "Launched", "Ready"]


def test_an_observation_made_during_a_listing_wins_over_the_listing() -> None:
    seen = ObservedCache()
    began = seen.mark()
    seen.record_running("new")
    assert seen.record_listing({"old": Presence.REMAINS}, began) == {"old"}
    assert seen.presence("new") is Presence.RUNNING
    assert seen.record_listing({"old": Presence.REMAINS}, seen.mark()) == {"new"}
    assert seen.presence("new") is None


def test_a_relaunched_machine_has_not_ended() -> None:
    seen = ObservedCache()
    seen.record_exit(MachineExit(NAME, "GuestPanicked", ""))
    seen.record_burst_ended(NAME)
    seen.record_start(NAME)
    assert seen.ended(NAME) is None
    assert not seen.burst_ended(NAME)


def test_capacity_is_freed_by_a_removal_but_not_by_a_failed_launch() -> None:
    seen = ObservedCache()
    seen.record_absence(NAME)
    assert seen.room_at is None
    seen.record_removal(NAME, NOW)
    assert seen.room_at == NOW


def test_the_containers_of_a_failed_pod_are_terminated() -> None:
    done = container({"terminated": {"exitCode": 0}}, "done")
    was = pod(
        phase="Running",
        conditions=[
            {"type": "Ready", "status": "True"},
            {"type": "PodScheduled", "status": "True"},
        ],
        initContainerStatuses=[done],
        containerStatuses=[container(RUNNING)],
    )
    patch = failed_status(was, "GuestPanicked: it panicked", NOW)
    assert patch["metadata"] == {"uid": POD_UID, "resourceVersion": "7"}
    status = patch["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "MicroVMTerminated")
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
    by_type = {each["type"]: each["status"] for each in status["conditions"]}
    assert by_type == {
        "PodScheduled": "True",
        "Ready": "False",
        "ContainersReady": "False",
        "DisruptionTarget": "True",
    }


def test_every_action_has_a_handler() -> None:
    handlers = Handlers(Mock(), Mock(), wrote=Mock(), boot_ended=Mock(), room_freed=Mock())
    assert set(handlers.table) == set(get_args(actions.Action))
