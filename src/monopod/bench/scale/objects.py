"""The objects of a run: address space, hosts, pods, and what simulated kubelets report. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from lightkube.models import core_v1 as models
from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Node, Pod, ServiceAccount

from monopod.api import keys
from monopod.api.resources import Subnet, SubnetSpec, Vpc, VpcSpec
from monopod.bench.phases import Kind, Subject
from monopod.bench.pods import LABELS, bench_pod
from monopod.fargate.sizing import Size

NAMESPACE: Final = "monopod-bench-scale"
LEASES: Final = "kube-node-lease"
_BLOCKS: Final = ("10.0.0.0/16", "10.1.0.0/16")
_VPC: Final = "bench"
_HOST: Final = Size(64_000, 256 * 1024)
_HOST_PODS: Final = 110
_RENEWED: Final = 4
"""Renewals in the duration of a Lease, as kubelets make them."""
_INFO_FIELDS: Final = (
    *("architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion"),
    *("kubeletVersion", "machineID", "operatingSystem", "osImage", "systemUUID"),
)


def host_name(number: int) -> str:
    """Return the name of a simulated host's node."""
    return f"host-{number:05}"


def vpc() -> Vpc:
    """Return the address space of the pods."""
    return Vpc(metadata=ObjectMeta(name=_VPC), spec=VpcSpec(cidrBlocks=list(_BLOCKS)))


def subnets(region: str) -> Iterator[Subnet]:
    """Yield the two subnets of the pods, each in a zone: 131,000 addresses."""
    for letter, block in zip("ab", _BLOCKS, strict=True):
        spec = SubnetSpec(vpc=_VPC, cidrBlock=block, availabilityZone=f"{region}{letter}")
        yield Subnet(metadata=ObjectMeta(name=f"{_VPC}-{letter}"), spec=spec)


def service_account() -> ServiceAccount:
    """Return the namespace's service account, which its pods need."""
    return ServiceAccount(metadata=ObjectMeta(name="default", namespace=NAMESPACE))


def scale_pod(number: int) -> Pod:
    """Return a pod as the webhooks would have marked it: they are not part of this benchmark."""
    pod = bench_pod(f"pod-{number:06}", NAMESPACE, Subject(Kind.MICROVM, ""), labels=LABELS)
    assert pod.spec is not None  # noqa: S101 - bench_pod has one
    pod.spec.schedulerName = keys.SCHEDULER_NAME
    pod.spec.automountServiceAccountToken = False
    return pod


def host_node(number: int, region: str) -> Node:
    """Return a host's node, which is Ready and has room for launcher pods."""
    name = host_name(number)
    zone = f"{region}{'ab'[number % 2]}"
    sizes = {
        "cpu": f"{_HOST.milli_cpu}m",
        "memory": f"{_HOST.memory_mib}Mi",
        "pods": str(_HOST_PODS),
    }
    labels = {"kubernetes.io/hostname": name, keys.ZONE_LABEL: zone}
    return Node(
        metadata=ObjectMeta(name=name, labels=labels),
        status=models.NodeStatus(
            capacity=dict(sizes),
            allocatable=dict(sizes),
            addresses=[models.NodeAddress(type="Hostname", address=name)],
            conditions=_conditions(_ready_node()),
            nodeInfo=msgspec.convert(_node_info(), models.NodeSystemInfo),
        ),
    )


def lease(node: str, renew_s: float) -> Lease:
    """Return a node's Lease, renewed now."""
    duration_s = round(renew_s * _RENEWED)
    return Lease(
        metadata=ObjectMeta(name=node, namespace=LEASES),
        spec=LeaseSpec(
            holderIdentity=node, leaseDurationSeconds=duration_s, renewTime=datetime.now(UTC)
        ),
    )


def node_report() -> dict[str, Any]:
    """Return the status with which a machine's kubelet registers."""
    return {"status": {"conditions": [_ready_node()], "nodeInfo": _node_info()}}


def pod_report(pod: Pod) -> dict[str, Any]:
    """Return the status of a pod whose container runs."""
    now = _now()
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
    running = {
        "name": "main",
        "image": "pause",
        "imageID": "",
        "containerID": "simulated://main",
        "restartCount": 0,
        "ready": True,
        "started": True,
        "state": {"running": {"startedAt": now}},
    }
    return {
        "metadata": {"uid": pod.metadata.uid if pod.metadata else None},
        "status": {
            "phase": "Running",
            "startTime": now,
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds
            ],
            "containerStatuses": [running],
        },
    }


def _ready_node() -> dict[str, Any]:
    now = _now()
    return {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "simulated",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }


def _conditions(*found: dict[str, Any]) -> list[models.NodeCondition]:
    return [msgspec.convert(each, models.NodeCondition) for each in found]


def _node_info() -> dict[str, Any]:
    return dict.fromkeys(_INFO_FIELDS, "simulated")


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
