"""Objects for the scheduler's tests, each with only what a test cares about."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from lightkube.resources.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Pod

from monopod.api.conditions import FALSE, TRUE
from monopod.api.resources import (
    Condition,
    ExecutionRole,
    FargateProfile,
    FargateProfileStatus,
    MicroVM,
    MicroVMStatus,
    Subnet,
)
from monopod.controllers.scheduler.actions import CreateMicroVM
from monopod.controllers.scheduler.placement import Region
from monopod.controllers.scheduler.security_groups import Membership
from monopod.controllers.scheduler.state import State
from monopod.fargate.profiles import KnownRoles
from monopod.fargate.unsupported import Storage

NOW = datetime(2026, 11, 23, 18, 0, 0, tzinfo=UTC)
REGION = Region("local-1", "amd64")
UID = "0d6f1a52-0000-0000-0000-000000000001"
NODE = "fargate-ip-192-168-1-9.local-1.compute.internal"


def pod(
    name: str = "web-0",
    namespace: str = "shop",
    *,
    requests: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    container: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Pod:
    main: dict[str, Any] = {"name": "main", "image": "none", **(container or {})}
    if requests:
        main["resources"] = {"requests": dict(requests)}
    return msgspec.convert(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "uid": UID, **(metadata or {})},
            "spec": {"schedulerName": "fargate-scheduler", "containers": [main], **spec},
        },
        Pod,
    )


def profile(
    name: str = "fp",
    namespace: str = "shop",
    *subnets: str,
    status: str = "ACTIVE",
    annotations: Mapping[str, str] | None = None,
) -> FargateProfile:
    made = msgspec.convert(
        {
            "metadata": {"name": name, "annotations": dict(annotations or {})},
            "spec": {
                "selectors": [{"namespace": namespace}],
                "subnets": list(subnets),
                "podExecutionRoleArn": ARN,
            },
        },
        FargateProfile,
    )
    made.status = FargateProfileStatus(status=status)
    return made


ARN = "arn:aws:iam::111122223333:role/pod-execution"


def role(name: str = "pod-execution", arn: str = ARN, age_s: float = 0.0) -> ExecutionRole:
    return msgspec.convert(
        {
            "metadata": {"name": name, "creationTimestamp": NOW - timedelta(seconds=age_s)},
            "spec": {"arn": arn},
        },
        ExecutionRole,
    )


def subnet(
    name: str = "private-a",
    block: str = "192.168.1.0/24",
    zone: str = "local-1a",
    internet: str = "NAT",
    available: int | None = None,
) -> Subnet:
    return msgspec.convert(
        {
            "metadata": {"name": name},
            "spec": {
                "vpc": "main",
                "cidrBlock": block,
                "availabilityZone": zone,
                "internet": internet,
            },
            "status": {"availableAddresses": available},
        },
        Subnet,
    )


def machine(
    claim: CreateMicroVM, *conditions: Condition, uid: str = "m-1", going: bool = False
) -> MicroVM:
    made = MicroVM(spec=claim.spec)
    made.metadata = msgspec.convert(
        {"name": claim.name, "uid": uid, "deletionTimestamp": NOW if going else None},
        type(node().metadata),
    )
    made.status = MicroVMStatus(nodeName=NODE, conditions=list(conditions))
    return made


def condition(kind: str, status: bool = True, reason: str = "", message: str = "") -> Condition:
    return Condition(kind, TRUE if status else FALSE, reason, message)


def node(name: str = NODE, ready: bool = True) -> Node:
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "labels": {"eks.amazonaws.com/compute-type": "fargate"},
            },
            "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
        },
        Node,
    )


def claim(volume: str = "", phase: str = "Pending") -> PersistentVolumeClaim:
    return msgspec.convert(
        {"spec": {"volumeName": volume}, "status": {"phase": phase}}, PersistentVolumeClaim
    )


def volume(**source: Any) -> PersistentVolume:
    return msgspec.convert({"spec": source}, PersistentVolume)


def storage(
    claims: Mapping[str, PersistentVolumeClaim] | None = None,
    volumes: Mapping[str, PersistentVolume] | None = None,
    drivers: Iterable[str] = (),
) -> Storage:
    return Storage(
        claim=lambda namespace, name: (claims or {}).get(f"{namespace}/{name}"),
        volume=(volumes or {}).get,
        drivers=frozenset(drivers),
    )


def state(**changes: Any) -> State:
    known = State(
        profiles=[profile()],
        subnets=[subnet()],
        vpcs=[],
        machines_by_subnet={},
        machine=None,
        node=None,
        storage=storage(),
        region=REGION,
        now=NOW,
        roles=KnownRoles(),
        membership=Membership(),
    )
    assert changes.keys() <= set(State.__slots__), changes
    # Not dataclasses.replace, whose checks would want every field's exact type from the tests.
    return State(**{name: changes.get(name, getattr(known, name)) for name in State.__slots__})
