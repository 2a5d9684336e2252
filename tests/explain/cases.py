"""Snapshots for the tests, from fields as in manifests."""

from datetime import UTC, datetime
from typing import Any

from lightkube.resources.core_v1 import Node, Pod
from msgspec import convert

from monopod.api import keys
from monopod.api.resources import FargateProfile, MicroVM, Subnet
from monopod.explain import Explanation, Snapshot, Warned, explain
from tests.framework import builders

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
    return builders.pod(
        "web",
        metadata={
            "labels": labels or {},
            "annotations": annotations or {},
            "creationTimestamp": born,
            "deletionTimestamp": deleted,
        },
        status={"phase": "Pending", "conditions": conditions or [], **(status or {})},
        **spec,
    )


def profile(
    name: str, *selectors: dict[str, Any], subnets: tuple[str, ...] = (), born: str = ""
) -> FargateProfile:
    at = born or "2026-11-23T11:00:00Z"
    return builders.profile(
        name, "none", *subnets, selectors=selectors, status="", creationTimestamp=at
    )


def subnet(name: str, cidr: str = "192.168.0.0/24", internet: str = "NAT") -> Subnet:
    return builders.subnet(name, cidr, internet=internet, available=240, vpc="default")


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
    return builders.node(NODE, ready, **(labels or {keys.MACHINE_LABEL: MACHINE}))


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
