"""Warnings for pods and workloads that Fargate does not run."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.resources.node_v1 import RuntimeClass

from monopod.api import keys
from monopod.webhooks.review import BadReviewError
from monopod.webhooks.settings import Mode
from monopod.webhooks.webhook import Webhook
from tests.webhooks.support import Profiles, pod, profile, response, review

pytestmark = pytest.mark.unit

_PRIVILEGED = {"name": "main", "image": "x", "securityContext": {"privileged": True}}
_SAID = "Pod not supported on Fargate: invalid SecurityContext fields: Privileged"
_TOO_LARGE = "Your pod's cpu/memory requirements exceed the max Fargate configuration"
_FINE = {"uid": review(None)["request"]["uid"], "allowed": True}


def _kind(kind: str, group: str = "apps") -> dict[str, str]:
    return {"group": group, "version": "v1", "kind": kind}


def workload(kind: str, template: dict[str, Any], namespace: str = "shop") -> dict[str, Any]:
    """The review of a workload that makes pods like this."""
    spec: dict[str, Any] = {"template": template}
    if kind == "CronJob":
        spec = {"jobTemplate": {"spec": spec}}
    group = "batch" if "Job" in kind else "apps"
    made = {"metadata": {"name": "web"}, "spec": spec}
    return review(made, namespace, kind=_kind(kind, group), name="web")


CLASSES = {
    name: msgspec.convert({"metadata": {"name": name}, "handler": name, **more}, RuntimeClass)
    for name, more in (("runsc", {}), ("runc", {"overhead": {"podFixed": {"cpu": "16"}}}))
}


async def asked(
    body: dict[str, Any],
    mode: Mode = Mode.WARN,
    profiles: Profiles | None = None,
) -> dict[str, Any]:
    known = profiles or Profiles(profile("fp", "shop"))
    webhook = Webhook(known, mode=mode, classes=CLASSES.get)
    return response(await webhook.examine(json.dumps(body).encode()))


WORKLOADS = ["Deployment", "ReplicaSet", "StatefulSet", "Job", "CronJob"]


@pytest.mark.row("S10")
@pytest.mark.parametrize("kind", WORKLOADS)
async def test_workloads_are_warned_about_in_the_scheduler_s_words(kind: str) -> None:
    found = await asked(workload(kind, pod(containers=[_PRIVILEGED])))
    assert found == _FINE | {
        "warnings": [
            _SAID,
            f"{kind} web: its pods match Fargate profile fp, and would stay Pending",
        ]
    }


@pytest.mark.parametrize(
    ("asked_for", "said"),
    [
        (
            {"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}},
            "Pod not supported on Fargate: invalid SecurityContext fields:"
            " Sysctls: net.core.somaxconn",
        ),
        (
            {"runtimeClassName": "runsc"},
            "Pod not supported on Fargate: fields not supported: RuntimeClassName: runsc (its"
            " handler is runsc; machines serve crun or runc)",
        ),
        ({"runtimeClassName": "unheard-of"}, None),
        # The API server makes requests of limits, and adds overhead, when pods are made.
        ({"containers": [{"name": "m", "resources": {"limits": {"cpu": "17"}}}]}, _TOO_LARGE),
        (
            {
                "runtimeClassName": "runc",
                "containers": [{"name": "m", "resources": {"requests": {"cpu": "1"}}}],
            },
            _TOO_LARGE,
        ),
    ],
)
async def test_workloads_whose_pods_no_kubelet_would_admit(
    asked_for: dict[str, Any], said: str | None
) -> None:
    found = await asked(workload("Deployment", pod(**asked_for)))
    assert found.get("warnings", [None])[0] == said


@pytest.mark.row("S8")
@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        (None, "No Fargate profile matches the pod: fp does not"),
        ({keys.COMPUTE_TYPE_KEY: "ec2"}, "The pod's annotation eks.amazonaws.com/compute-type"),
    ],
)
async def test_a_workload_of_the_runtime_class_that_would_wait_is_warned_about(
    annotations: dict[str, str] | None, said: str
) -> None:
    asked_for = pod(runtimeClassName="monopod", annotations=annotations)
    found = await asked(workload("Deployment", asked_for, namespace="other"))
    (warning,) = found["warnings"]
    assert warning.startswith(said)


@pytest.mark.row("S9")
async def test_every_daemon_set_is_warned_about() -> None:
    found = await asked(workload("DaemonSet", pod()))
    assert found["allowed"]
    assert found["warnings"][0].startswith("Pod not supported on Fargate: pod of DaemonSet web")
    assert "sidecar" in found["warnings"][0]


@pytest.mark.row("S10")
@pytest.mark.parametrize("kind", [*WORKLOADS, "DaemonSet"])
async def test_in_enforce_mode_they_are_refused(kind: str) -> None:
    found = await asked(workload(kind, pod(containers=[_PRIVILEGED])), Mode.ENFORCE)
    assert not found["allowed"]
    assert found["status"]["code"] == 403
    assert found["status"]["message"].startswith(_SAID)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("kind", [*WORKLOADS, "DaemonSet"])
@pytest.mark.parametrize(
    ("namespace", "changes"),
    [
        ("other", {}),
        ("shop", {"annotations": {keys.COMPUTE_TYPE_KEY: "ec2"}}),
        ("shop", {"schedulerName": "mine"}),
        ("shop", {"nodeName": "worker"}),
    ],
)
async def test_workloads_of_worker_nodes_are_not_reviewed(
    mode: Mode, kind: str, namespace: str, changes: dict[str, Any]
) -> None:
    template = pod(containers=[_PRIVILEGED], **changes)
    assert await asked(workload(kind, template, namespace), mode) == _FINE


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("kind", WORKLOADS)
async def test_supported_workloads_get_no_warning(mode: Mode, kind: str) -> None:
    assert await asked(workload(kind, pod()), mode) == _FINE


@pytest.mark.row("S8")
async def test_a_label_that_names_no_profile_is_warned_about() -> None:
    found = await asked(workload("Deployment", pod(labels={keys.PROFILE_LABEL: "later"})))
    assert found["warnings"] == [
        f"The pod's label {keys.PROFILE_LABEL} names Fargate profile later, which does not exist."
    ]


def _marked(**spec: Any) -> dict[str, Any]:
    return pod(schedulerName="fargate-scheduler", **spec)


@pytest.mark.row("S10")
@pytest.mark.parametrize(
    ("asked_for", "said"),
    [
        ({}, []),
        ({"containers": [_PRIVILEGED]}, [_SAID]),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "later"}}]},
            [],
        ),
        (
            {"containers": [{"name": "m", "resources": {"requests": {"cpu": "17"}}}]},
            [
                _TOO_LARGE,
                "The pod needs 17 vCPU and 256 MiB of memory, including 256 MiB for the platform;"
                " the largest size is 16 vCPU 120 GB.",
            ],
        ),
        (
            {"containers": [{"name": "web", "image": "x", "ports": [
                {"containerPort": 10250}, {"containerPort": 10251}]}]},
            ["container web listens on port 10250, which is reserved for the kubelet on Fargate:"
             " other pods cannot reach it; choose another port"],
        ),
        (
            {"containers": [{"name": "web", "image": "x", "ports": [
                {"containerPort": 10250, "protocol": "UDP"}]}]},
            [],
        ),
        (
            {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z",
                                            "whenUnsatisfiable": "DoNotSchedule"}]},
            ["topologySpreadConstraints has no effect with topologyKey z on Fargate, where every"
             " pod has its own node; use topology.kubernetes.io/zone"],
        ),
        (
            {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "topology.kubernetes.io/zone"}]}}},
            [],
        ),
        (
            {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname"}]}},
             "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
                                            "whenUnsatisfiable": "DoNotSchedule"}]},
            [],
        ),
        (
            {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname"}]}}},
            ["affinity.podAffinity has no effect with topologyKey kubernetes.io/hostname on"
             " Fargate, where every pod has its own node; use topology.kubernetes.io/zone"],
        ),
    ],
)  # fmt: skip
async def test_pods_that_are_marked(asked_for: dict[str, Any], said: list[str]) -> None:
    found = await asked(review(_marked(**asked_for)))
    assert found["allowed"]
    assert found.get("warnings", []) == said


async def test_pods_in_enforce_mode() -> None:
    found = await asked(review(_marked(containers=[_PRIVILEGED])), Mode.ENFORCE)
    assert (found["allowed"], found["status"]["message"]) == (False, _SAID)
    assert await asked(review(pod(containers=[_PRIVILEGED])), Mode.ENFORCE) == _FINE


def _debugging(context: dict[str, Any], **spec: Any) -> dict[str, Any]:
    debugger = {"name": "debugger", "image": "x", "securityContext": context}
    older = {"name": "older", "image": "x", "securityContext": {"privileged": True}}
    return review(
        _marked(ephemeralContainers=[older, debugger], **spec),
        operation="UPDATE",
        subResource="ephemeralcontainers",
        oldObject=_marked(ephemeralContainers=[older], **spec),
    )


@pytest.mark.row("S10")
@pytest.mark.parametrize("mode", Mode)
async def test_unsupported_ephemeral_containers_are_refused_in_either_mode(
    mode: Mode,
) -> None:
    found = await asked(_debugging({"privileged": True}), mode)
    assert (found["allowed"], found["status"]["message"]) == (False, _SAID)
    tracing = {"capabilities": {"add": ["SYS_PTRACE"]}}
    assert await asked(_debugging(tracing), mode) == _FINE
    # What was wrong with the pod itself is not said again.
    assert await asked(_debugging({}, hostPID=True), mode) == _FINE


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_PATHS = [
    ("request", "object"),
    ("request", "object", "spec"),
    ("request", "object", "metadata"),
    ("request", "object", "spec", "template"),
    ("request", "object", "spec", "template", "spec"),
    ("request", "object", "spec", "template", "metadata"),
    ("request", "object", "spec", "template", "spec", "containers"),
    ("request", "oldObject"),
    ("request", "subResource"),
    ("request", "name"),
    ("request", "kind"),
]


@given(st.sampled_from(_PATHS), _values, st.sampled_from([*WORKLOADS[:4], "DaemonSet", "Pod"]))
async def test_any_value_in_any_place_is_answered_or_refused_as_malformed(
    path: tuple[str, ...], value: Any, kind: str
) -> None:
    body = workload(kind, pod())
    if kind == "Pod":
        body["request"]["kind"] = _kind("Pod", "")
    place: Any = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    try:
        found = await asked(body)
    except BadReviewError as error:
        assert str(error)
    else:
        assert found["allowed"]
