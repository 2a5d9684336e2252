from typing import Any

import pytest

from monopod.scheduler.supported import why_unsupported
from tests.scheduler.build import claim, pod, storage, volume

_LEAD = "Pod not supported on Fargate: "


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"hostNetwork": True}, "fields not supported: HostNetwork"),
        ({"hostPID": True, "hostIPC": True}, "fields not supported: HostPID,HostIPC"),
        (
            {"container": {"securityContext": {"privileged": True}}},
            "invalid SecurityContext fields: Privileged",
        ),
        (
            {
                "container": {"securityContext": {"privileged": True}},
                "initContainers": [
                    {"name": "first", "image": "i", "securityContext": {"privileged": True}}
                ],
            },
            "invalid SecurityContext fields: Privileged,Privileged",
        ),
        (
            {"container": {"securityContext": {"allowPrivilegeEscalation": True}}},
            "invalid SecurityContext fields: AllowPrivilegeEscalation",
        ),
        (
            {"container": {"securityContext": {"capabilities": {"add": ["NET_ADMIN", "KILL"]}}}},
            "invalid SecurityContext fields: Capabilities added: NET_ADMIN",
        ),
        (
            {"container": {"securityContext": {"capabilities": {"add": ["CAP_CHOWN"]}}}},
            "invalid SecurityContext fields: Capabilities added: CAP_CHOWN",
        ),
        (
            {"container": {"ports": [{"containerPort": 80, "hostPort": 80}]}},
            "port contains HostIP or HostPort",
        ),
        (
            {"volumes": [{"name": "logs", "hostPath": {"path": "/var/log"}}]},
            "volumes not supported: logs is of an unsupported volume Type",
        ),
        (
            {
                "volumes": [
                    {"name": "a", "csi": {"driver": "csi.cert-manager.io"}},
                    {"name": "b", "persistentVolumeClaim": {"claimName": "data"}},
                    {"name": "c", "emptyDir": {}},
                ]
            },
            "volumes not supported: a is of an unsupported volume Type, b not supported because:"
            ' persistentvolumeclaim "data" not found',
        ),
        (
            {"container": {"resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "1"}}}},
            "resources not supported: nvidia.com/gpu",
        ),
        # From aws-efs-csi-driver#589.
        (
            {
                "hostNetwork": True,
                "container": {
                    "securityContext": {"privileged": True},
                    "ports": [{"containerPort": 9809, "hostPort": 9809}],
                },
            },
            "fields not supported: HostNetwork, invalid SecurityContext fields: Privileged,"
            " port contains HostIP or HostPort",
        ),
        # From freegroup/kube-s3#14.
        (
            {
                "container": {"securityContext": {"privileged": True}},
                "volumes": [{"name": "mntdatas3fs", "hostPath": {"path": "/mnt/data-s3-fs"}}],
            },
            "invalid SecurityContext fields: Privileged, volumes not supported: mntdatas3fs is of"
            " an unsupported volume Type",
        ),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_aws(asked: dict[str, Any], said: str) -> None:
    assert why_unsupported(pod(**asked), storage()) == _LEAD + said


def test_pods_of_daemon_sets_are_told_what_to_do_instead() -> None:
    owner = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "name": "agent",
        "uid": "u",
        "controller": True,
    }
    said = why_unsupported(pod(metadata={"ownerReferences": [owner]}), storage())
    assert said is not None
    assert said.startswith(_LEAD + "pod of DaemonSet agent")
    assert "sidecar" in said


@pytest.mark.parametrize(
    "volume",
    [
        {"configMap": {"name": "c"}},
        {"secret": {"secretName": "s"}},
        {"emptyDir": {"medium": "Memory"}},
        {"downwardAPI": {}},
        {"projected": {"sources": []}},
    ],
)
def test_volumes_that_need_no_storage_are_fine(volume: dict[str, Any]) -> None:
    assert why_unsupported(pod(volumes=[{"name": "v", **volume}]), storage()) is None


def test_dropping_everything_and_adding_a_default_is_fine() -> None:
    context = {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    assert why_unsupported(pod(container={"securityContext": context}), storage()) is None


@pytest.mark.parametrize(
    ("its_claim", "its_volume", "said"),
    [
        (claim(), None, "PVC data not bound"),
        (claim("pv-1", "Lost"), None, "PVC data not bound"),
        (
            claim("pv-1", "Bound"),
            volume(csi={"driver": "ebs.csi.aws.com", "volumeHandle": "v"}),
            "PVC data bound to invalid PV pv-1 with CSI Driver: ebs.csi.aws.com",
        ),
        (
            claim("pv-1", "Bound"),
            volume(hostPath={"path": "/srv"}),
            "PVC data bound to invalid PV pv-1",
        ),
        (claim("pv-1", "Bound"), None, "PVC data bound to invalid PV pv-1"),
    ],
)
def test_claims_are_looked_through(its_claim: Any, its_volume: Any, said: str) -> None:
    wanted = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    known = storage({"shop/data": its_claim}, {"pv-1": its_volume} if its_volume else {})
    assert why_unsupported(wanted, known) == (
        f"{_LEAD}volumes not supported: v not supported because: {said}"
    )
