"""Snapshots for the tests, from fields as in manifests."""

from datetime import UTC, datetime
from typing import Any

from lightkube.resources.core_v1 import Node, Pod
from msgspec import convert

from monopod.api import keys
from monopod.api.resources import FargateProfile, MicroVM, Subnet
from monopod.explain import Explanation, Snapshot, Warned, explain

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
BORN = "2026-11-23T12:00:00Z"
MACHINE = "mvm-0123456789"
NODE = "fargate-ip-192-168-0-9.local-1.compute.internal"


def pod(
    *,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    conditions: list[dict[str, str]] | None = None,
    status: dict[str, Any] | None = None,
    born: str = BORN,
    deleted: str | None = None,
    **spec: Any,
) -> Pod:
    containers = spec.pop("containers", [{"name": "main"}])
    return convert(
        {
            "metadata": {
                "name": "web",
                "namespace": "shop",
                "uid": "u-1",
                "labels": labels or {},
                "annotations": annotations or {},
                "creationTimestamp": born,
                "deletionTimestamp": deleted,
            },
            "spec": {
                "schedulerName": keys.SCHEDULER_NAME,
                "containers": containers,
                **spec,
            },
            "status": {"phase": "Pending", "conditions": conditions or [], **(status or {})},
        },
        Pod,
    )


def profile(
    name: str, *selectors: dict[str, Any], subnets: tuple[str, ...] = (), born: str = ""
) -> FargateProfile:
    return convert(
        {
            "metadata": {"name": name, "creationTimestamp": born or "2026-11-23T11:00:00Z"},
            "spec": {"selectors": selectors, "subnets": list(subnets)},
        },
        FargateProfile,
    )


def subnet(name: str, cidr: str = "192.168.0.0/24", internet: str = "NAT") -> Subnet:
    return convert(
        {
            "metadata": {"name": name},
            "spec": {
                "vpc": "default",
                "cidrBlock": cidr,
                "availabilityZone": "local-1a",
                "internet": internet,
            },
            "status": {"availableAddresses": 240},
        },
        Subnet,
    )


def machine(**status: Any) -> MicroVM:
    return convert(
        {
            "metadata": {"name": MACHINE, "creationTimestamp": "2026-11-23T12:00:01Z"},
            "spec": {
                "podRef": {"namespace": "shop", "name": "web", "uid": "u-1"},
                "profile": "fp",
                "subnet": "private-a",
                "milliCPU": 250,
                "memoryMiB": 512,
            },
            "status": status,
        },
        MicroVM,
    )


def node(ready: str = "True", **labels: str) -> Node:
    return convert(
        {
            "metadata": {"name": NODE, "labels": labels or {keys.MACHINE_LABEL: MACHINE}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        },
        Node,
    )


def turned(kind: str, at: str, status: str = "True", **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, "lastTransitionTime": at, **more}


def snapshot(
    of: Pod,
    *profiles: FargateProfile,
    subnets: tuple[Subnet, ...] = (),
    of_machine: MicroVM | None = None,
    of_node: Node | None = None,
    warnings: tuple[Warned, ...] = (),
) -> Snapshot:
    return Snapshot(of, profiles, subnets, of_machine, of_node, warnings, NOW)


def lines(explanation: Explanation, title: str) -> list[str]:
    """One section, with marks and indentation."""
    for section in explanation.sections:
        if section.title == title:
            return [f"{'  ' * f.depth}{f.mark.value} {f.text}" for f in section.findings]
    return []


def explained(*arguments: Any, **named: Any) -> Explanation:
    return explain(snapshot(*arguments, **named))
