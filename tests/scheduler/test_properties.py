"""For any pod and any failures, every decision is made and the decisions end."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.resources.core_v1 import Node, Pod

from monopod.api.resources import MicroVM
from monopod.controllers.scheduler import provisioning_failures
from monopod.controllers.scheduler.actions import (
    Action,
    Bind,
    CountFailure,
    CreateMicroVM,
    MarkUnschedulable,
    NoAction,
    Requeue,
)
from monopod.controllers.scheduler.decide import decide
from monopod.controllers.scheduler.patches import condition_patch, metadata_patch, status_patch
from tests.framework.builders import NODE, NOW, node, pod, profile, subnet
from tests.scheduler.build import condition, machine, state

pytestmark = pytest.mark.unit

_words = st.sampled_from(["", "shop", "fp", "local-1a", "linux", "amd64", "CAP_KILL", "é" * 70])
_keys = st.sampled_from(
    [
        "topology.kubernetes.io/zone",
        "kubernetes.io/os",
        "eks.amazonaws.com/fargate-profile",
        "eks.amazonaws.com/compute-type",
        provisioning_failures.ANNOTATION,
        "x",
    ]
)
_maps = st.dictionaries(_keys, _words, max_size=3)
_quantities = st.sampled_from(["0", "1", "250m", "3Gi", "99999999999", "-1", "1e3", "bad", ""])
_amounts = st.dictionaries(
    st.sampled_from(["cpu", "memory", "ephemeral-storage", "nvidia.com/gpu"]),
    _quantities,
    max_size=3,
)
_requirement = st.fixed_dictionaries(
    {
        "key": _keys,
        "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "?"]),
    },
    optional={"values": st.lists(_words, max_size=2)},
)
_term = st.fixed_dictionaries(
    {},
    optional={
        "matchExpressions": st.lists(_requirement, max_size=2),
        "matchFields": st.lists(_requirement, max_size=2),
    },
)
_affinity = st.fixed_dictionaries(
    {},
    optional={
        "requiredDuringSchedulingIgnoredDuringExecution": st.fixed_dictionaries(
            {"nodeSelectorTerms": st.lists(_term, max_size=2)}
        ),
        "preferredDuringSchedulingIgnoredDuringExecution": st.lists(
            st.fixed_dictionaries({"weight": st.integers(1, 100), "preference": _term}),
            max_size=2,
        ),
    },
)
_security = st.fixed_dictionaries(
    {},
    optional={
        "privileged": st.booleans(),
        "capabilities": st.fixed_dictionaries({}, optional={"add": st.lists(_words, max_size=2)}),
    },
)
_container = st.fixed_dictionaries(
    {"name": _words},
    optional={
        "resources": st.fixed_dictionaries({}, optional={"requests": _amounts, "limits": _amounts}),
        "securityContext": _security,
        "restartPolicy": st.sampled_from(["Always", "Never"]),
        "ports": st.lists(st.just({"containerPort": 80, "hostPort": 80}), max_size=1),
    },
)
_volume = st.sampled_from(
    [{"name": "v"}, {"name": "v", "emptyDir": {}}, {"name": "v", "hostPath": {"path": "/"}}]
)
_pods = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "name": _words,
                "namespace": _words,
                "uid": _words,
                "labels": _maps,
                "annotations": _maps,
            },
        ),
        "spec": st.fixed_dictionaries(
            {
                "containers": st.lists(_container, max_size=3),
                "schedulerName": st.just("fargate-scheduler"),
            },
            optional={
                "initContainers": st.lists(_container, max_size=2),
                "nodeSelector": _maps,
                "affinity": st.fixed_dictionaries({}, optional={"nodeAffinity": _affinity}),
                "overhead": _amounts,
                "resources": st.fixed_dictionaries({}, optional={"requests": _amounts}),
                "hostNetwork": st.booleans(),
                "volumes": st.lists(_volume, max_size=2),
            },
        ),
        "status": st.fixed_dictionaries(
            {}, optional={"phase": st.sampled_from(["Pending", "Failed"])}
        ),
    },
)


@given(_pods)
def test_every_pod_gets_a_decision_that_can_be_written(wire: dict[str, Any]) -> None:
    any_pod = msgspec.convert(wire, Pod)
    action = decide(any_pod, state(subnets=[subnet(), subnet("b", zone="local-1b")]))
    assert isinstance(action, NoAction | MarkUnschedulable | CreateMicroVM | Requeue)
    if isinstance(action, CreateMicroVM):
        msgspec.json.encode(
            (
                action.spec,
                metadata_patch(any_pod, action.marks),
                status_patch(any_pod, action.marks, NOW),
            )
        )
    if isinstance(action, MarkUnschedulable):
        assert action.reason
        assert action.message
        msgspec.json.encode(condition_patch(any_pod, action.reason, action.message, NOW))


class _World:
    """A model of the cluster around one pod."""

    def __init__(self, sound: bool) -> None:
        self.pod = pod()
        self.now = NOW
        self.machine: MicroVM | None = None
        self.node: Node | None = None
        self.sound = sound
        self.made: list[str] = []

    def befall(self, event: str) -> None:
        """Let something happen that is not the scheduler's doing."""
        match event:
            case "Launched" | "Registered" | "Terminated":
                self._condition(event)
            case "Ready":
                self._condition(event)
                self.node = node() if self.machine is not None else None
            case "deleted" if self.machine is not None and self.machine.metadata is not None:
                self.machine.metadata.deletionTimestamp = NOW
            case "vanished":
                self.machine = self.node = None
            case "node gone":
                self.node = None
            case "cleaned" if self._failed():
                self.machine = self.node = None
            case "mended":
                self.sound = True
            case _:
                self.now += timedelta(seconds=400)

    def look(self) -> Action:
        """Decide, twice over."""
        known = state(
            profiles=[profile()] if self.sound else [],
            subnets=[subnet()] if self.sound else [],
            machine=self.machine,
            node=self.node,
            now=self.now,
        )
        action = decide(self.pod, known)
        assert action == decide(self.pod, known), "asked twice, answered alike"
        return action

    def take(self, action: Action) -> None:
        """Do what was decided."""
        match action:
            case CreateMicroVM():
                assert self.machine is None, "never a second machine"
                self.made.append(action.name)
                self.machine = machine(action, uid=f"m-{len(self.made)}")
            case CountFailure():
                assert self.pod.metadata is not None
                self.pod.metadata.annotations = {
                    provisioning_failures.ANNOTATION: action.failures.encode()
                }
            case _:
                pass

    def _condition(self, kind: str) -> None:
        if self.machine is not None and self.machine.status is not None:
            self.machine.status.conditions = [
                *self.machine.status.conditions,
                condition(kind),
            ]

    def _failed(self) -> bool:
        if self.machine is None or self.machine.status is None or self.machine.metadata is None:
            return False
        terminated = any(each.type == "Terminated" for each in self.machine.status.conditions)
        return terminated or self.machine.metadata.deletionTimestamp is not None


_HAPPENINGS = (
    "Launched",
    "Registered",
    "Ready",
    "Terminated",
    "deleted",
    "vanished",
    "node gone",
    "time passes",
)
_ALL_WELL = ("mended", "cleaned", "time passes", "Launched", "Registered", "Ready")


@given(st.lists(st.sampled_from(_HAPPENINGS), max_size=30), st.booleans())
def test_a_pod_is_bound_in_the_end_and_to_one_machine_after_any_failures(
    events: list[str], sound: bool
) -> None:
    world = _World(sound)
    for event in (*events, *_ALL_WELL * 3):
        world.befall(event)
        action = world.look()
        if isinstance(action, Bind):
            assert action.node == NODE
            assert len(set(world.made)) == 1
            return
        world.take(action)
    raise AssertionError("not bound")
