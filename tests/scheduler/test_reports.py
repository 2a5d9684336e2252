"""Public reports about Fargate's scheduling, each with what becomes of its pod here."""

from typing import Any

import pytest

from monopod.controllers.scheduler.actions import CreateMicroVM, MarkUnschedulable
from monopod.controllers.scheduler.decide import decide
from tests.framework.builders import pod, subnet
from tests.scheduler.build import state

pytestmark = pytest.mark.unit

_ZONES = [subnet("a", zone="local-1a"), subnet("b", block="192.168.2.0/24", zone="local-1b")]
_UNSUPPORTED = "Pod not supported on Fargate: "


def _arch(*values: str) -> dict[str, Any]:
    expression = {"key": "kubernetes.io/arch", "operator": "In", "values": list(values)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _resources(**amounts: dict[str, str]) -> dict[str, Any]:
    return {"container": {"resources": amounts}}


_RUN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "containers-roadmap#1102": (
        {"container": {"securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}},
        {},
    ),
    "containers-roadmap#1125": (
        {"nodeSelector": {"failure-domain.beta.kubernetes.io/zone": "local-1b"}},
        {"subnet": "b"},
    ),
    "containers-roadmap#163": (
        _resources(requests={"cpu": "250m"}, limits={"cpu": "4", "memory": "1Gi"}),
        {"milliCPU": 250, "memoryMiB": 2048},
    ),
    "containers-roadmap#1794": (
        _resources(requests={"ephemeral-storage": "60Gi"}),
        {"ephemeralStorageGiB": 71},
    ),
    "containers-roadmap#164": (
        _resources(requests={"cpu": "16", "memory": "119Gi"}),
        {"milliCPU": 16000, "memoryMiB": 122880},
    ),
    "containers-roadmap#998": (
        {
            "nodeSelector": {"eks.amazonaws.com/compute-type": "fargate"},
            "tolerations": [{"key": "eks.amazonaws.com/compute-type", "operator": "Exists"}],
        },
        {},
    ),
    "containers-roadmap#824": (
        {
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchLabels": {"app": "web"}},
                }
            ]
        },
        {},
    ),
    "containers-roadmap#1629, an image for both": ({"affinity": _arch("arm64", "amd64")}, {}),
}


@pytest.mark.parametrize("report", _RUN)
def test_reported_pods_that_run(report: str) -> None:
    spec, wanted = _RUN[report]
    action = decide(pod(**spec), state(subnets=_ZONES))
    assert isinstance(action, CreateMicroVM)
    assert {field: getattr(action.spec, field) for field in wanted} == wanted


_NO_NODE = (
    "MatchNodeSelector",
    "MatchNodeSelector failed: Fargate profile fp cannot satisfy pod's node selector/affinity"
    " requirements",
)
_REFUSED: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "containers-roadmap#1981": (
        _resources(requests={"ephemeral-storage": "176Gi"}),
        (
            "POD_EPHEMERAL_STORAGE_EXCEEDS_MAX_FARGATE_SIZE",
            "Your pod's ephemeral storage requirements exceed the max Fargate configuration",
        ),
    ),
    "aws/eks-distro-prow-jobs#11": (
        _resources(requests={"memory": "120Gi"}),
        (
            "POD_CPU_MEM_EXCEEDS_MAX_FARGATE_SIZE",
            "Your pod's cpu/memory requirements exceed the max Fargate configuration",
        ),
    ),
    "containers-roadmap#1546": ({"nodeSelector": {"kubernetes.io/os": "windows"}}, _NO_NODE),
    "containers-roadmap#1629": ({"affinity": _arch("arm64")}, _NO_NODE),
    "containers-roadmap#1476": ({"nodeSelector": {"team": "blue"}}, _NO_NODE),
    "containers-roadmap#682": (
        {
            "initContainers": [
                {
                    "name": "istio-init",
                    "image": "i",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
                        "privileged": False,
                        "runAsUser": 0,
                    },
                }
            ]
        },
        (
            "POD_UNSUPPORTED_ON_FARGATE",
            f"{_UNSUPPORTED}invalid SecurityContext fields: Capabilities added: NET_ADMIN",
        ),
    ),
    "containers-roadmap#88": (
        _resources(limits={"nvidia.com/gpu": "1"}),
        ("POD_UNSUPPORTED_ON_FARGATE", f"{_UNSUPPORTED}resources not supported: nvidia.com/gpu"),
    ),
    "containers-roadmap#1113": (
        {
            "volumes": [
                {"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            ]
        },
        (
            "POD_UNSUPPORTED_ON_FARGATE",
            f"{_UNSUPPORTED}volumes not supported: data is of an unsupported volume Type",
        ),
    ),
    "containers-roadmap#1517": (
        {"hostNetwork": True},
        ("POD_UNSUPPORTED_ON_FARGATE", f"{_UNSUPPORTED}fields not supported: HostNetwork"),
    ),
    "a sysctl for inotify, and a safe one": (
        {
            "securityContext": {
                "sysctls": [
                    {"name": "fs.inotify.max_user_watches", "value": "524288"},
                    {"name": "net.ipv4.ip_local_port_range", "value": "1024 65535"},
                ]
            }
        },
        (
            "POD_UNSUPPORTED_ON_FARGATE",
            f"{_UNSUPPORTED}invalid SecurityContext fields: Sysctls: fs.inotify.max_user_watches",
        ),
    ),
}


@pytest.mark.parametrize("report", _REFUSED)
def test_reported_pods_that_do_not_run(report: str) -> None:
    spec, (reason, message) = _REFUSED[report]
    action = decide(pod(**spec), state(subnets=_ZONES))
    assert isinstance(action, MarkUnschedulable)
    assert (action.reason, action.message) == (reason, message)
