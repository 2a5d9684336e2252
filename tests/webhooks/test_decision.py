import json
from typing import Any

import pytest

from monopod.api import keys
from monopod.kube import TransientError
from monopod.webhooks.webhook import Webhook
from tests.webhooks.support import Profiles, pod, profile, profile_review, response, review

pytestmark = pytest.mark.unit

UID = "705ab4f5-6393-11e8-b7cc-42010a800002"
SPEC = [
    {"op": "add", "path": "/spec/schedulerName", "value": "fargate-scheduler"},
    {"op": "add", "path": "/spec/priorityClassName", "value": "system-node-critical"},
    {"op": "add", "path": "/spec/priority", "value": 2000001000},
    {"op": "add", "path": "/spec/preemptionPolicy", "value": "PreemptLowerPriority"},
]
UNTOUCHED = {"uid": UID, "allowed": True}


def labelled(**labels: str) -> dict[str, Any]:
    return {"op": "add", "path": "/metadata/labels", "value": labels}


async def asked(profiles: Profiles, body: dict[str, Any]) -> dict[str, Any]:
    return response(await Webhook(profiles).answer(json.dumps(body).encode()))


@pytest.mark.row("S3")
async def test_a_matching_pod_gets_exactly_the_recorded_patch() -> None:
    found = await asked(Profiles(profile("fp", "shop")), review(pod()))
    assert found == UNTOUCHED | {
        "patchType": "JSONPatch",
        "patch": [*SPEC, labelled(**{keys.PROFILE_LABEL: "fp"})],
    }


async def test_existing_labels_stay_and_the_profile_comes_first() -> None:
    found = await asked(Profiles(profile("fp", "shop")), review(pod(labels={"app": "web"})))
    assert list(found["patch"][-1]["value"].items()) == [(keys.PROFILE_LABEL, "fp"), ("app", "web")]


async def test_security_groups_that_a_user_wrote_are_stripped() -> None:
    forged = pod(annotations={keys.SECURITY_GROUPS_ANNOTATION: "sg-a", "other": "stays"})
    found = await asked(Profiles(profile("fp", "shop")), review(forged))
    path = "/metadata/annotations/fargate.amazonaws.com~1pod-sg"
    assert found["patch"][-1] == {"op": "remove", "path": path}


async def test_the_namespace_is_the_requests() -> None:
    found = await asked(Profiles(profile("fp", "shop")), review(pod(), namespace="other"))
    assert found == UNTOUCHED


@pytest.mark.row("S2")
async def test_precedence_and_a_named_profile() -> None:
    profiles = Profiles(profile("b", "*"), profile("a", "shop"))
    found = await asked(profiles, review(pod()))
    assert found["patch"][-1] == labelled(**{keys.PROFILE_LABEL: "a"})
    found = await asked(profiles, review(pod(labels={keys.PROFILE_LABEL: "b"})))
    assert found["patch"][-1] == labelled(**{keys.PROFILE_LABEL: "b"})


async def test_the_pods_own_priority_class_is_kept_in_the_patch() -> None:
    found = await asked(Profiles(profile("fp", "*")), review(pod(priorityClassName="gold")))
    assert found["patch"] == [SPEC[0], labelled(**{keys.PROFILE_LABEL: "fp"})]


@pytest.mark.parametrize(
    ("spec", "critical"),
    [
        ({"containers": [{"name": "m", "resources": {"limits": {"cpu": "1"}}}]}, True),
        ({"containers": [{"name": "m", "resources": {"limits": {"ephemeral-storage": 1}}}]}, False),
        (
            {
                "containers": [{"name": "m"}],
                "initContainers": [
                    {"name": "i", "resources": {"limits": {"ephemeral-storage": "64Mi"}}}
                ],
            },
            False,
        ),
        ({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "16Mi"}}]}, False),
        ({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi", "medium": "Memory"}}]}, True),
        ({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "secret": {}}]}, True),
    ],
)
async def test_a_pod_that_limits_its_storage_can_be_evicted_for_it(
    spec: dict[str, Any], critical: bool
) -> None:
    found = await asked(Profiles(profile("fp", "*")), review(pod(**spec)))
    label = labelled(**{keys.PROFILE_LABEL: "fp"})
    assert found["patch"] == [*(SPEC if critical else SPEC[:1]), label]


@pytest.mark.parametrize(
    "left",
    [
        pod(annotations={keys.COMPUTE_TYPE_KEY: "ec2"}),
        pod(nodeName="worker-1"),
        pod(schedulerName="custom"),
    ],
)
async def test_pods_left_alone(left: dict[str, Any]) -> None:
    assert await asked(Profiles(profile("fp", "*")), review(left)) == UNTOUCHED


@pytest.mark.parametrize("scheduler", [None, "", "default-scheduler", "fargate-scheduler"])
async def test_pods_of_the_default_and_fargate_schedulers_are_marked(scheduler: str | None) -> None:
    found = await asked(Profiles(profile("fp", "*")), review(pod(schedulerName=scheduler)))
    assert found["patch"][0] == SPEC[0]


@pytest.mark.row("S9")
async def test_a_daemonsets_pod_is_marked_and_left_to_the_scheduler_to_refuse() -> None:
    owned = pod()
    owned["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "name": "logs"}]
    assert (await asked(Profiles(profile("fp", "*")), review(owned)))["patch"][:4] == SPEC


@pytest.mark.row("S8")
@pytest.mark.parametrize(("named", "why"), [("gone", "does not exist"), ("b", "does not match")])
async def test_a_pod_that_names_a_profile_in_vain_waits_with_a_warning(
    named: str, why: str
) -> None:
    profiles = Profiles(profile("a", "shop"), profile("b", "other"))
    found = await asked(profiles, review(pod(labels={keys.PROFILE_LABEL: named})))
    assert found["patch"] == SPEC
    (warning,) = found["warnings"]
    assert f"names Fargate profile {named}" in warning
    assert why in warning


@pytest.mark.row("S8")
async def test_a_pod_of_the_runtime_class_waits_where_no_profile_selects_it() -> None:
    profiles = Profiles(profile("a", "other"))
    found = await asked(profiles, review(pod(runtimeClassName="monopod")))
    assert found["patch"] == SPEC
    (warning,) = found["warnings"]
    assert warning.startswith("No Fargate profile matches the pod: a does not")
    assert await asked(profiles, review(pod(runtimeClassName="kata"))) == UNTOUCHED


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": {"group": "metrics.k8s.io", "version": "v1", "kind": "PodMetrics"}},
        {"kind": {"group": "", "version": "v1", "kind": "Binding"}},
        {"operation": "DELETE", "object": None},
        {"operation": "UPDATE"},
        {"object": None},
    ],
)
async def test_what_is_no_pods_creation_passes(changes: dict[str, Any]) -> None:
    assert await asked(Profiles(profile("fp", "*")), review(pod(), **changes)) == UNTOUCHED


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def ask(webhook: Webhook, body: dict[str, Any]) -> dict[str, Any]:
    return response(await webhook.answer(json.dumps(body).encode()))


@pytest.mark.row("S2")
async def test_a_profile_that_was_only_just_asked_about_counts() -> None:
    profiles, clock = Profiles(stored=[profile("new", "shop")]), Clock()
    webhook = Webhook(profiles, clock)
    clock.now = 60
    assert await ask(webhook, review(pod())) == UNTOUCHED
    assert await ask(webhook, profile_review("new", dryRun=True)) == UNTOUCHED
    assert await ask(webhook, review(pod())) == UNTOUCHED
    assert profiles.reads == 0
    assert await ask(webhook, profile_review("new")) == UNTOUCHED
    assert (await ask(webhook, review(pod())))["patch"][:4] == SPEC
    assert profiles.reads == 1


async def test_profiles_are_listed_until_the_expected_one_is_cached_or_expired() -> None:
    profiles, clock = Profiles(profile("known", "other"), stored=[]), Clock()
    webhook = Webhook(profiles, clock)
    clock.now = 60
    await ask(webhook, profile_review("known"))
    await ask(webhook, review(pod()))
    assert profiles.reads == 0
    await ask(webhook, profile_review("refused"))
    await ask(webhook, review(pod()))
    clock.now += 11
    await ask(webhook, review(pod()))
    assert profiles.reads == 1


async def test_after_a_start_anything_may_have_been_missed() -> None:
    profiles, clock = Profiles(stored=[profile("new", "shop")]), Clock()
    webhook = Webhook(profiles, clock)
    assert (await ask(webhook, review(pod())))["patch"][:4] == SPEC


async def test_a_cached_match_lists_no_profiles() -> None:
    profiles = Profiles(profile("fp", "*"))
    await asked(profiles, review(pod()))
    assert profiles.reads == 0


async def test_what_is_known_counts_when_the_api_server_does_not_answer() -> None:
    profiles = Profiles(profile("fp", "shop"))
    profiles.error = TransientError("no answer")
    assert await asked(profiles, review(pod(), namespace="other")) == UNTOUCHED
