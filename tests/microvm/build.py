"""Minimal objects for the pure tests."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from monopod.api import keys
from monopod.api.conditions import timestamp
from monopod.api.resources import Condition, MicroVM
from monopod.controllers.microvm.state import NodeState, PodState, State
from monopod.node.provider import Presence

NOW = datetime(2026, 11, 23, 18, 0, 0, tzinfo=UTC)
NAME = "mvm-0123456789"
NODE = "fargate-ip-192-168-1-9.local-1.compute.internal"
UID = "11111111-0000-0000-0000-000000000001"
POD_UID = "22222222-0000-0000-0000-000000000002"


def machine(
    *states: Condition,
    name: str = NAME,
    uid: str = UID,
    attempts: int = 0,
    finalizer: bool = True,
    deleting: bool = False,
    addresses: tuple[str, str] = ("100.64.0.9", "192.168.1.9"),
    created: datetime = NOW,
    namespace: str = "default",
) -> MicroVM:
    addressed = any(each.type == "Addressed" and each.status == "True" for each in states)
    status: Mapping[str, object] = {
        "attempts": attempts,
        "conditions": [each.to_dict() for each in states],
        **(
            {
                "managementAddress": addresses[0],
                "podAddress": addresses[1],
                "nodeName": NODE,
            }
            if addressed
            else {}
        ),
    }
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "uid": uid,
                "resourceVersion": "1",
                "creationTimestamp": created,
                "finalizers": [keys.MACHINE_FINALIZER] if finalizer else [],
                "deletionTimestamp": NOW if deleting else None,
            },
            "spec": {
                "podRef": {"namespace": namespace, "name": "web", "uid": POD_UID},
                "profile": "fp",
                "subnet": "private-a",
                "milliCPU": 250,
                "memoryMiB": 512,
            },
            "status": status,
        },
        MicroVM,
    )


def condition(
    kind: str, status: str = "True", reason: str = "", message: str = "", age_s: float = 0
) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        lastTransitionTime=timestamp(NOW - timedelta(seconds=age_s)),
    )


ADDRESSED = condition("Addressed", reason="Allocated")
LAUNCHED = condition("Launched", reason="Running")
REGISTERED = condition("Registered", reason="KubeletRegistered")
READY = condition("Ready", reason="KubeletReady")


def state(
    made: MicroVM,
    *,
    pod: PodState | None = PodState(),  # noqa: B008 - frozen
    node: NodeState | None = None,
    presence: Presence | None = None,
    now: datetime = NOW,
) -> State:
    return State(machine=made, pod=pod, node=node, presence=presence, now=now)
