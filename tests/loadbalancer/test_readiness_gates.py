"""Readiness gates: which pods are targets, and their conditions."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import ObjectReference
from lightkube.resources.core_v1 import Pod

from monopod.api.keys import TARGET_HEALTH_PREFIX
from monopod.controllers.loadbalancer.readiness_gates import outstanding, patches, with_waiting
from monopod.controllers.loadbalancer.targets import targets
from monopod.kube import codec
from tests.framework.builders import ENDING, UNREADY, slice_of

pytestmark = pytest.mark.unit

_GATE = f"{TARGET_HEALTH_PREFIX}k8s-default-web-1"
_NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
_ADDRESS = "192.168.1.9"
_CONTAINERS = "ContainersReady"


def _pod(*gates: str, going: bool = False, true: tuple[str, ...] = (_CONTAINERS,)) -> Pod:
    conditions = [{"type": kind, "status": "True"} for kind in true]
    metadata: dict[str, Any] = {"name": "web", "namespace": "default", "uid": "1"}
    made = {
        "metadata": metadata | ({"deletionTimestamp": _NOW} if going else {}),
        "spec": {
            "containers": [],
            "readinessGates": [{"conditionType": gate} for gate in gates],
        },
        "status": {"podIP": _ADDRESS, "conditions": conditions},
    }
    return codec.decode(Pod, msgspec.json.encode(made))


def _is_target(pod: Pod, state: dict[str, bool] = UNREADY, uid: str = "1") -> bool:
    slice_ = slice_of("web", {_ADDRESS: state})
    assert slice_.endpoints
    slice_.endpoints[0].targetRef = ObjectReference(
        kind="Pod", name="web", namespace="default", uid=uid
    )
    found = targets(with_waiting([slice_], {"default/web": pod}.get), "http")
    return [each for each in found if not each.draining] != []


def test_a_pod_that_waits_only_for_load_balancers_is_a_target() -> None:
    assert _is_target(_pod(_GATE))
    assert _is_target(_pod(_GATE, "own", true=(_CONTAINERS, "own")))


@pytest.mark.parametrize(
    "pod",
    [
        _pod(),
        _pod(_GATE, true=()),
        _pod(_GATE, "own"),
        _pod("own"),
        _pod(_GATE, going=True),
    ],
)
def test_other_pods_are_not_targets(pod: Pod) -> None:
    assert not _is_target(pod)


def test_terminating_and_recreated_pods_are_not_targets() -> None:
    assert not _is_target(_pod(_GATE), uid="2")
    slice_ = slice_of("web", {_ADDRESS: ENDING, "192.168.1.10": UNREADY})
    assert with_waiting([slice_], {}.get) == [slice_]


def _said(pod: Pod, health: dict[str, dict[str, bool]]) -> list[tuple[str, str]]:
    return [
        (each["status"], each["reason"])
        for _, patch in patches([pod], health, _NOW)
        for each in patch["status"]["conditions"]
    ]


@pytest.mark.parametrize(
    ("health", "said"),
    [
        ({}, ("False", "Target.NotInUse")),
        ({_GATE: {}}, ("False", "Target.NotRegistered")),
        ({_GATE: {_ADDRESS: False}}, ("False", "Elb.InitialHealthChecking")),
        ({_GATE: {_ADDRESS: True}}, ("True", "")),
    ],
)
def test_a_condition_shows_the_result_of_health_checks(
    health: dict[str, dict[str, bool]], said: tuple[str, str]
) -> None:
    assert _said(_pod(_GATE), health) == [said]


def test_a_true_condition_is_permanent() -> None:
    pod = _pod(_GATE, true=(_CONTAINERS, _GATE))
    assert _said(pod, {}) == _said(pod, {_GATE: {_ADDRESS: False}}) == []


def test_only_otherwise_ready_pods_await_health_checks() -> None:
    health = {_GATE: {_ADDRESS: False}}
    assert outstanding([_pod(_GATE)], health)
    assert not outstanding([_pod(_GATE, true=())], health)
    assert not outstanding([_pod(_GATE)], {})
    assert not outstanding([_pod(_GATE, true=(_CONTAINERS, _GATE))], health)
