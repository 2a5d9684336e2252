"""The whole matrix: what is refused, in which kind of container, in which words."""

from itertools import product
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import EphemeralContainer
from lightkube.resources.node_v1 import RuntimeClass

from monopod.api import keys
from monopod.fargate.unsupported import not_for_debuggers, why_unsupported
from tests.framework.builders import claim, pod, storage, volume

pytestmark = pytest.mark.unit

_LEAD = "Pod not supported on Fargate: "
_SECURITY = "invalid SecurityContext fields: "


def _in_kind(kind: str, *fields: dict[str, Any]) -> dict[str, Any]:
    """The parts of a pod that has these fields in containers of one kind, one in each."""
    made = [
        {"name": f"{kind}-{number}", "image": "i", **each} for number, each in enumerate(fields)
    ]
    match kind:
        case "sidecar":
            return {"initContainers": [each | {"restartPolicy": "Always"} for each in made]}
        case "init":
            return {"initContainers": made}
        case "ephemeral":
            return {"ephemeralContainers": made}
        case _:
            return {"containers": made}


def _capabilities(*names: str) -> dict[str, Any]:
    return {"securityContext": {"capabilities": {"add": list(names)}}}


_PRIVILEGED = {"securityContext": {"privileged": True}}
_KINDS = ("container", "init", "sidecar", "ephemeral")
_IN_ANY_KIND = [
    pytest.param(_PRIVILEGED, f"{_SECURITY}Privileged", marks=pytest.mark.row("S10")),
    (
        {"securityContext": {"allowPrivilegeEscalation": True}},
        f"{_SECURITY}AllowPrivilegeEscalation",
    ),
    (
        {"securityContext": {"privileged": True, "allowPrivilegeEscalation": True}},
        f"{_SECURITY}Privileged,AllowPrivilegeEscalation",
    ),
    (_capabilities("NET_ADMIN"), f"{_SECURITY}Capabilities added: NET_ADMIN"),
    (_capabilities("CAP_CHOWN"), f"{_SECURITY}Capabilities added: CAP_CHOWN"),
    (_capabilities("chown"), f"{_SECURITY}Capabilities added: chown"),
    (_capabilities("ALL"), f"{_SECURITY}Capabilities added: ALL"),
    (_capabilities("CAP_SYS_PTRACE"), f"{_SECURITY}Capabilities added: CAP_SYS_PTRACE"),
    *(
        (
            {"securityContext": {"appArmorProfile": {"type": kind, **more}}},
            f"{_SECURITY}AppArmorProfile: {kind}",
        )
        for kind, more in (("RuntimeDefault", {}), ("Localhost", {"localhostProfile": "p"}))
    ),
    (
        {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "p"}}},
        f"{_SECURITY}SeccompProfile: Localhost",
    ),
    (
        {"securityContext": {"seLinuxOptions": {"level": "s0:c123,c456", "role": "system_r"}}},
        f"{_SECURITY}SELinuxOptions",
    ),
    (
        {
            "securityContext": {
                "privileged": True,
                "capabilities": {"add": ["BPF"]},
                "appArmorProfile": {"type": "RuntimeDefault"},
                "seLinuxOptions": {"type": "spc_t"},
                "seccompProfile": {"type": "Localhost"},
            }
        },
        f"{_SECURITY}Privileged,Capabilities added: BPF,AppArmorProfile: RuntimeDefault,"
        "SELinuxOptions,SeccompProfile: Localhost",
    ),
    (
        _capabilities("NET_ADMIN", "KILL", "SYS_ADMIN"),
        f"{_SECURITY}Capabilities added: NET_ADMIN,Capabilities added: SYS_ADMIN",
    ),
    pytest.param(
        {"ports": [{"containerPort": 80, "hostPort": 80}]},
        "port contains HostIP or HostPort",
        marks=pytest.mark.row("S11"),
    ),
    pytest.param(
        {"ports": [{"containerPort": 80}, {"containerPort": 81, "hostIP": "10.0.0.1"}]},
        "port contains HostIP or HostPort",
        marks=pytest.mark.row("S11"),
    ),
    *(
        pytest.param(
            {"resources": {where: {name: "1", "cpu": "1"}}},
            f"resources not supported: {name}",
            marks=pytest.mark.row("S13"),
        )
        for where, name in product(
            ("requests", "limits"),
            ("nvidia.com/gpu", "amd.com/gpu", "aws.amazon.com/neuron", "hugepages-2Mi"),
        )
    ),
]


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize(("field", "said"), _IN_ANY_KIND)
def test_what_no_container_may_ask_for(kind: str, field: dict[str, Any], said: str) -> None:
    assert why_unsupported(pod(**_in_kind(kind, field)), storage()) == _LEAD + said


@pytest.mark.parametrize("kind", _KINDS)
def test_tracing_is_for_every_container(kind: str) -> None:
    # kubectl debug adds it to an ephemeral container and to a copy of the pod alike.
    asked = pod(**_in_kind(kind, _capabilities("SYS_PTRACE")))
    assert why_unsupported(asked, storage()) is None


@pytest.mark.row("S10")
@pytest.mark.parametrize(("first", "second"), [*product(_KINDS, _KINDS)])
def test_privileged_is_said_once_for_each_container(first: str, second: str) -> None:
    parts = _in_kind(first, _PRIVILEGED, _PRIVILEGED)
    for where, made in _in_kind(second, _PRIVILEGED).items():
        parts[where] = [*parts.get(where, ()), *made]
    said = why_unsupported(pod(**parts), storage())
    assert said == f"{_LEAD}{_SECURITY}Privileged,Privileged,Privileged"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param(
            {"hostNetwork": True},
            "fields not supported: HostNetwork",
            marks=pytest.mark.row("S11"),
        ),
        ({"hostPID": True}, "fields not supported: HostPID"),
        ({"hostIPC": True}, "fields not supported: HostIPC"),
        (
            {"hostIPC": True, "hostPID": True, "hostNetwork": True},
            "fields not supported: HostNetwork,HostPID,HostIPC",
        ),
        (
            {"resourceClaims": [{"name": "gpu", "resourceClaimName": "one"}]},
            "fields not supported: ResourceClaims",
        ),
        ({"os": {"name": "windows"}}, "fields not supported: WindowsOptions"),
        (
            {"metadata": {"labels": {"kubernetes.io/os": "windows"}}},
            "labels not supported: kubernetes.io/os=windows",
        ),
        (
            {
                "securityContext": {
                    "sysctls": [
                        {"name": "net.core.somaxconn", "value": "1024"},
                        {"name": "net.ipv4.tcp_syncookies", "value": "1"},
                        {"name": "kernel/msgmax", "value": "1"},
                    ]
                }
            },
            f"{_SECURITY}Sysctls: net.core.somaxconn,Sysctls: kernel/msgmax",
        ),
        (
            {
                "securityContext": {
                    "appArmorProfile": {"type": "RuntimeDefault"},
                    "seccompProfile": {"type": "Localhost", "localhostProfile": "p"},
                    "seLinuxOptions": {"user": "u"},
                },
                "container": {"securityContext": {"privileged": True}},
            },
            f"{_SECURITY}AppArmorProfile: RuntimeDefault,SELinuxOptions,SeccompProfile: Localhost,"
            "Privileged",
        ),
        *(
            (
                {"metadata": {"annotations": {f"{keys.APPARMOR_ANNOTATION_PREFIX}main": value}}},
                f"{_SECURITY}AppArmorProfile: {kind}",
            )
            for value, kind in (
                ("runtime/default", "RuntimeDefault"),
                ("localhost/strict", "Localhost"),
                ("something", "something"),
            )
        ),
        (
            {"resources": {"limits": {"nvidia.com/gpu": "1"}}},
            "resources not supported: nvidia.com/gpu",
        ),
    ],
)
def test_what_no_pod_may_ask_for(asked: dict[str, Any], said: str) -> None:
    assert why_unsupported(pod(**asked), storage()) == _LEAD + said


@pytest.mark.parametrize(
    "fine",
    [
        {"securityContext": {"sysctls": [{"name": "net/ipv4/tcp_rmem", "value": "1 2 3"}]}},
        {"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}},
        {"securityContext": {"appArmorProfile": {"type": "Unconfined"}, "seLinuxOptions": {}}},
        # As OpenShift gives it to every pod, and Kubernetes' own cases to theirs.
        {"securityContext": {"seLinuxOptions": {"level": "s0:c123,c456"}}},
        {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
        {"securityContext": {"supplementalGroupsPolicy": "Strict"}},
        {"metadata": {"labels": {"kubernetes.io/os": "linux"}}},
        {"metadata": {"annotations": {f"{keys.APPARMOR_ANNOTATION_PREFIX}main": "unconfined"}}},
        {"os": {"name": "linux"}, "hostUsers": False},
    ],
)
def test_what_any_pod_may_ask_for(fine: dict[str, Any]) -> None:
    assert why_unsupported(pod(**fine), storage()) is None


def test_an_apparmor_profile_is_said_once_where_field_and_annotation_name_it() -> None:
    twice = pod(
        metadata={"annotations": {f"{keys.APPARMOR_ANNOTATION_PREFIX}main": "runtime/default"}},
        container={"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}},
    )
    said = f"{_LEAD}{_SECURITY}AppArmorProfile: RuntimeDefault"
    assert why_unsupported(twice, storage()) == said


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"subdomain": "b" * 30}, None),
        ({"setHostnameAsFQDN": True, "hostname": "a" * 63}, None),
        ({"setHostnameAsFQDN": True, "subdomain": "b" * 35}, None),
        (
            {"setHostnameAsFQDN": True, "subdomain": "b" * 37},
            f"web-0.{'b' * 37}.shop.svc.cluster.local (has 66 characters; at most 64)",
        ),
        (
            {"setHostnameAsFQDN": True, "hostname": "db", "subdomain": "b" * 39},
            f"db.{'b' * 39}.shop.svc.cluster.local (has 65 characters; at most 64)",
        ),
        ({"setHostnameAsFQDN": True, "subdomain": "b" * 37, "hostnameOverride": "x"}, None),
    ],
)
def test_a_full_name_that_is_too_long_for_a_host(spec: dict[str, Any], said: str | None) -> None:
    expected = f"{_LEAD}fields not supported: SetHostnameAsFQDN: {said}" if said else None
    assert why_unsupported(pod(**spec), storage()) == expected


_CLASSES = {
    name: msgspec.convert({"metadata": {"name": name}, "handler": handler}, RuntimeClass)
    for name, handler in (("plain", "runc"), ("native", "crun"), ("sandboxed", "runsc"))
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (None, None),
        ("plain", None),
        ("native", None),
        ("made-a-moment-ago", None),
        (
            "sandboxed",
            "fields not supported: HostPID,RuntimeClassName: sandboxed (its handler is runsc;"
            " machines serve crun or runc)",
        ),
    ],
)
def test_runtime_classes_of_handlers_that_machines_lack(name: str | None, said: str | None) -> None:
    asked = pod(runtimeClassName=name, hostPID=said is not None)
    expected = None if said is None else _LEAD + said
    assert why_unsupported(asked, storage(), _CLASSES.get) == expected
    assert (why_unsupported(asked, storage()) or "").count("RuntimeClassName") == 0


_UNSERVED = {
    "awsElasticBlockStore": {"volumeID": "vol-1"},
    "azureDisk": {"diskName": "d", "diskURI": "u"},
    "azureFile": {"secretName": "s", "shareName": "s"},
    "cephfs": {"monitors": ["m"]},
    "cinder": {"volumeID": "v"},
    "csi": {"driver": "csi.cert-manager.io"},
    "ephemeral": {"volumeClaimTemplate": {"spec": {}}},
    "fc": {},
    "flexVolume": {"driver": "d"},
    "flocker": {},
    "gcePersistentDisk": {"pdName": "p"},
    "gitRepo": {"repository": "r"},
    "glusterfs": {"endpoints": "e", "path": "p"},
    "hostPath": {"path": "/var/log"},
    "iscsi": {"iqn": "i", "lun": 0, "targetPortal": "t"},
    "nfs": {"server": "s", "path": "/"},
    "photonPersistentDisk": {"pdID": "p"},
    "portworxVolume": {"volumeID": "v"},
    "quobyte": {"registry": "r", "volume": "v"},
    "rbd": {"image": "i", "monitors": ["m"]},
    "scaleIO": {"gateway": "g", "secretRef": {}, "system": "s"},
    "storageos": {},
    "vsphereVolume": {"volumePath": "p"},
    "aKindThatIsYetToCome": {},
}
_SERVED: dict[str, dict[str, Any]] = {
    "configMap": {"name": "c"},
    "downwardAPI": {},
    "emptyDir": {"medium": "Memory"},
    "image": {"reference": "i"},
    "projected": {"sources": []},
    "secret": {"secretName": "s"},
}


@pytest.mark.parametrize("source", _UNSERVED)
def test_volumes_that_no_machine_has(source: str) -> None:
    asked = pod(volumes=[{"name": "v", source: _UNSERVED[source]}, {"name": "w", "emptyDir": {}}])
    said = f"{_LEAD}volumes not supported: v is of an unsupported volume Type"
    assert why_unsupported(asked, storage()) == said
    assert why_unsupported(asked, None) == said


@pytest.mark.parametrize("medium", ["HugePages", "HugePages-2Mi"])
def test_a_medium_of_huge_pages(medium: str) -> None:
    asked = pod(volumes=[{"name": "v", "emptyDir": {"medium": medium}}])
    said = f"{_LEAD}volumes not supported: v not supported because: medium {medium}"
    assert why_unsupported(asked, storage()) == said


@pytest.mark.parametrize("source", _SERVED)
def test_volumes_that_need_no_storage_are_fine(source: str) -> None:
    assert why_unsupported(pod(volumes=[{"name": "v", source: _SERVED[source]}]), storage()) is None


_EFS = {"driver": "efs.csi.aws.com", "volumeHandle": "fs-1"}


@pytest.mark.parametrize(
    ("its_claim", "its_volume", "said"),
    [
        (None, None, 'persistentvolumeclaim "data" not found'),
        (claim(), None, "PVC data not bound"),
        (claim("pv-1"), volume(csi=_EFS), "PVC data not bound"),
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
        (claim("pv-1", "Bound"), volume(csi=_EFS), None),
    ],
)
def test_claims_are_looked_through(its_claim: Any, its_volume: Any, said: str | None) -> None:
    wanted = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    known = storage(
        {"shop/data": its_claim} if its_claim else {},
        {"pv-1": its_volume} if its_volume else {},
        drivers={"efs.csi.aws.com"},
    )
    assert why_unsupported(wanted, known) == (
        None if said is None else f"{_LEAD}volumes not supported: v not supported because: {said}"
    )
    assert why_unsupported(wanted, None) is None, "without a lookup, a claim is not checked"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        # From aws-efs-csi-driver#589.
        (
            {
                "hostNetwork": True,
                "container": {
                    **_PRIVILEGED,
                    "ports": [{"containerPort": 9809, "hostPort": 9809}],
                },
            },
            "fields not supported: HostNetwork, invalid SecurityContext fields: Privileged,"
            " port contains HostIP or HostPort",
        ),
        # From freegroup/kube-s3#14.
        (
            {
                "container": _PRIVILEGED,
                "volumes": [{"name": "mntdatas3fs", "hostPath": {"path": "/mnt/data-s3-fs"}}],
            },
            "invalid SecurityContext fields: Privileged, volumes not supported: mntdatas3fs is of"
            " an unsupported volume Type",
        ),
        # In the manner of aws-cdk#23375.
        (
            {
                "volumes": [
                    {"name": "config", "persistentVolumeClaim": {"claimName": "config"}},
                    {"name": "fine", "emptyDir": {}},
                    {"name": "logs", "persistentVolumeClaim": {"claimName": "logs"}},
                ]
            },
            'volumes not supported: config not supported because: persistentvolumeclaim "config"'
            ' not found, logs not supported because: persistentvolumeclaim "logs" not found',
        ),
        # Everything at once.
        (
            {
                "hostPID": True,
                "container": {
                    **_PRIVILEGED,
                    "ports": [{"containerPort": 80, "hostPort": 80}],
                    "resources": {"limits": {"nvidia.com/gpu": "1"}},
                },
                "initContainers": [{"name": "first", "image": "i", **_capabilities("BPF")}],
                "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
            },
            "fields not supported: HostPID, invalid SecurityContext fields: Capabilities added:"
            " BPF,Privileged, port contains HostIP or HostPort, volumes not supported: v is of an"
            " unsupported volume Type, resources not supported: nvidia.com/gpu",
        ),
    ],
)
def test_all_that_is_wrong_is_said_at_once_and_in_order(asked: dict[str, Any], said: str) -> None:
    assert why_unsupported(pod(**asked), storage()) == _LEAD + said


@pytest.mark.row("S9")
def test_the_message_for_pods_of_daemon_sets_has_the_alternative() -> None:
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
    other = owner | {"kind": "ReplicaSet"}
    assert why_unsupported(pod(metadata={"ownerReferences": [other]}), storage()) is None


@pytest.mark.parametrize(
    "fine",
    [
        {},
        {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}},
        {"securityContext": {"privileged": False, "allowPrivilegeEscalation": False}},
        {"ports": [{"containerPort": 80, "protocol": "UDP"}]},
        {"resources": {"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}}},
    ],
)
@pytest.mark.parametrize("kind", _KINDS)
def test_what_any_container_may_ask_for(kind: str, fine: dict[str, Any]) -> None:
    assert why_unsupported(pod(**_in_kind(kind, fine)), storage()) is None


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (None, None),
        ({"capabilities": {"add": ["SYS_PTRACE"]}}, None),
        ({"privileged": True}, f"{_LEAD}{_SECURITY}Privileged"),
        (
            {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
            f"{_LEAD}{_SECURITY}Capabilities added: NET_ADMIN",
        ),
    ],
)
def test_containers_put_into_a_running_pod(
    context: dict[str, Any] | None, said: str | None
) -> None:
    added = {"name": "debugger", "image": "i", "securityContext": context}
    assert not_for_debuggers([msgspec.convert(added, EphemeralContainer)]) == said
