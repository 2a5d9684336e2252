from typing import Any

import pytest

from monopod.controllers.scheduler import placement
from monopod.controllers.scheduler.placement import SubnetCandidate
from monopod.fargate.sizing import Size
from tests.framework.builders import pod, subnet
from tests.scheduler.build import REGION

pytestmark = pytest.mark.unit

SIZE = Size(250, 512)
A = SubnetCandidate("private-a", "local-1a", 10)
B = SubnetCandidate("private-b", "local-1b", 20)


def allowed(**spec: Any) -> list[str]:
    wanted = pod(**spec).spec
    assert wanted is not None
    return [room.name for room in placement.allowed(wanted, (A, B), REGION, SIZE)]


def best(*rooms: SubnetCandidate, **spec: Any) -> str | None:
    wanted = pod(**spec).spec
    assert wanted is not None
    found = placement.best(wanted, rooms, REGION, SIZE)
    return found.name if found else None


def required(*expressions: tuple[str, str, list[str]]) -> dict[str, Any]:
    """Node affinity with one term for each expression."""
    terms = [
        {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}
        for key, operator, values in expressions
    ]
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
        }
    }


_ZONE = "topology.kubernetes.io/zone"


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, ["private-a", "private-b"]),
        ({"nodeSelector": {_ZONE: "local-1b"}}, ["private-b"]),
        ({"nodeSelector": {"failure-domain.beta.kubernetes.io/zone": "local-1a"}}, ["private-a"]),
        (
            {"nodeSelector": {"eks.amazonaws.com/compute-type": "fargate"}},
            ["private-a", "private-b"],
        ),
        ({"nodeSelector": {"kubernetes.io/arch": "arm64"}}, []),
        ({"affinity": required((_ZONE, "In", ["local-1a", "x"]))}, ["private-a"]),
        ({"affinity": required((_ZONE, "NotIn", ["local-1a"]))}, ["private-b"]),
        ({"affinity": required((_ZONE, "DoesNotExist", []))}, []),
        ({"affinity": required(("gpu", "Exists", []))}, []),
        ({"affinity": required(("gpu", "DoesNotExist", []))}, ["private-a", "private-b"]),
        ({"affinity": required(("cores", "Gt", ["4"]))}, []),
        (
            {"affinity": required(("gpu", "Exists", []), (_ZONE, "In", ["local-1b"]))},
            ["private-b"],
        ),
        ({"affinity": required(("kubernetes.io/hostname", "In", ["n1"]))}, []),
        *(
            row
            for own in ("kubernetes.io/hostname", "monopod.dev/microvm")
            for row in (
                ({"affinity": required((own, "Exists", []))}, ["private-a", "private-b"]),
                # Its kubelet would reject the pod.
                ({"affinity": required((own, "DoesNotExist", []))}, []),
            )
        ),
    ],
)
def test_zones_and_labels_choose_the_subnets(spec: dict[str, Any], names: list[str]) -> None:
    assert allowed(**spec) == names


def test_the_node_of_a_machine_cannot_be_named_before_it_is_there() -> None:
    def named(operator: str) -> dict[str, Any]:
        field = {"key": "metadata.name", "operator": operator, "values": ["n1"]}
        term = {"matchFields": [field]}
        return {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
            }
        }

    assert allowed(affinity=named("In")) == []
    assert allowed(affinity=named("NotIn")) == ["private-a", "private-b"]


def test_the_roomiest_subnet_is_taken_and_names_decide_between_equals() -> None:
    assert best(A, B) == "private-b"
    assert best(SubnetCandidate("z", "local-1a", 5), SubnetCandidate("y", "local-1a", 5)) == "y"
    assert best(SubnetCandidate("z", "local-1a", 0)) is None
    assert best() is None


def test_preferences_come_before_room() -> None:
    expression = {"key": _ZONE, "operator": "In", "values": ["local-1a"]}
    preferred = [{"weight": 1, "preference": {"matchExpressions": [expression]}}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    assert best(A, B, affinity=affinity) == "private-a"
    assert best(SubnetCandidate("private-a", "local-1a", 0), B, affinity=affinity) == "private-b"


@pytest.mark.parametrize(
    ("block", "used", "available", "free"),
    [
        ("192.168.1.0/28", 0, None, 11),
        ("192.168.1.0/28", 4, None, 7),
        ("192.168.1.0/28", 4, 11, 7),
        ("192.168.1.0/28", 4, 3, 3),
        ("192.168.1.0/28", 99, None, 0),
        ("192.168.1.0/30", 0, None, 0),
        ("nonsense", 0, None, 0),
    ],
)
def test_room_is_what_both_counts_leave(
    block: str, used: int, available: int | None, free: int
) -> None:
    (room,) = placement.subnet_candidates([subnet("s", block, available=available)], {"s": used})
    assert room.free == free
