"""An injection's status from what was observed."""

from datetime import timedelta
from typing import Any

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.controllers.sidecars.carriers import Carrier, carriers_of
from monopod.controllers.sidecars.report import Observed, Problem, report_of, status_of
from tests.sidecars.build import AT, cluster_injection, injection

pytestmark = pytest.mark.unit


def carriers(*generations: int | None) -> list[Carrier]:
    return [Carrier("shop", AT + timedelta(seconds=5), each) for each in generations]


def status(**changes: Any) -> dict[str, Any]:
    made = cluster_injection(generation=3)
    return status_of(made, Observed(carriers=[], **changes), AT)


def test_pods_are_counted_by_generation() -> None:
    found = report_of(injection(generation=3), carriers(3, 2, 3, None, 1))
    assert (found.pods, found.outdated, found.left_out) == (4, 2, 1)
    assert list(found.generations) == [(3, 2), (2, 1), (1, 1)]


def test_pods_of_an_earlier_injection_of_that_name_are_not_counted() -> None:
    older = Carrier("shop", AT - timedelta(seconds=1), 1)
    found = report_of(injection(), [older, *carriers(1)])
    assert (found.pods, found.outdated) == (1, 0)


def test_the_conditions_are_about_the_generation() -> None:
    (ready,) = status()["conditions"]
    assert (ready["type"], ready["status"], ready["observedGeneration"]) == ("Ready", "True", 3)
    blocked = Problem("InvalidTemplate", "containers[0].image: Required value")
    (ready,) = status(blocked=blocked)["conditions"]
    assert (ready["status"], ready["reason"]) == ("False", "InvalidTemplate")
    assert ready["message"] == "containers[0].image: Required value"


def test_copies_that_fail_in_one_namespace_stop_no_other() -> None:
    problem = Problem("ConfigMapNotWritten", "shop/sidecar-1: forbidden")
    ready, copied = status(copies=True, config_maps=problem, namespaces=["shop"])["conditions"]
    assert ready["status"] == "True"
    assert (copied["type"], copied["status"]) == ("ConfigMapsCopied", "False")
    assert status(copies=True, namespaces=["shop"])["configMapNamespaces"] == ["shop"]


def test_a_pods_annotations_say_what_it_carries() -> None:
    said = {
        keys.SIDECARS_ANNOTATION: "clustersidecarinjection/otel@1,sidecarinjection/a@12,junk,x@y",
        keys.SIDECARS_LEFT_OUT_ANNOTATION: "sidecarinjection/b@2: container b is the pod's own",
    }
    pod = Pod(metadata=ObjectMeta(name="web", namespace="shop", annotations=said))
    assert {key: each.generation for key, each in carriers_of(pod).items()} == {
        "clustersidecarinjection/otel": 1,
        "sidecarinjection/shop/a": 12,
        "sidecarinjection/shop/b": None,
    }
