"""A real API server calls the real process; what counts is the pod that is stored."""

import signal
import urllib.request
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event, Pod, ServiceAccount
from lightkube.resources.scheduling_v1 import PriorityClass

from monopod.api import keys
from monopod.api.resources import FargateProfile, FargateProfileSpec, Selector
from monopod.kube import AlreadyExistsError, Client, ForbiddenError, TransientError, meta
from monopod.webhooks.missed_pods import REASON
from tests.apiserver import LOOPBACK, ApiServer
from tests.framework.eventually import eventually
from tests.webhooks.conftest import Admission

pytestmark = pytest.mark.api


async def make_profile(admin: Client, namespace: str, prefix: str = "fp") -> str:
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    spec = FargateProfileSpec(selectors=[Selector(namespace=namespace)])
    await admin.create(FargateProfile(metadata=ObjectMeta(name=name), spec=spec))
    return name


async def remove_profile(admin: Client, name: str) -> None:
    """Delete a profile, and act as its controller, which does not run here."""
    await admin.delete(FargateProfile, name)
    await admin.patch(FargateProfile, name, {"metadata": {"finalizers": None}})


async def make_pod(
    admin: Client,
    namespace: str,
    *,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Pod:
    metadata = ObjectMeta(
        generateName="web-", namespace=namespace, labels=labels, annotations=annotations
    )
    containers = [Container(name="main", image="x")]
    return await admin.create(Pod(metadata=metadata, spec=PodSpec(containers=containers, **spec)))


def facts(pod: Pod) -> tuple[str | None, str | None, int | None, dict[str, str] | None]:
    assert pod.spec is not None
    return (
        pod.spec.schedulerName,
        pod.spec.priorityClassName,
        pod.spec.priority,
        meta(pod).labels,
    )


UNTOUCHED = ("default-scheduler", None, 0, None)


@pytest.mark.row("S3")
async def test_matching_pods_are_marked_and_others_are_not(
    registered: Admission, admin: Client, namespace: str
) -> None:
    assert facts(await make_pod(admin, namespace)) == UNTOUCHED
    profile = await make_profile(admin, namespace)
    marked = await make_pod(admin, namespace, labels={"app": "web"})
    assert facts(marked) == (
        "fargate-scheduler",
        "system-node-critical",
        2000001000,
        {keys.PROFILE_LABEL: profile, "app": "web"},
    )
    assert marked.spec is not None
    assert marked.spec.preemptionPolicy == "PreemptLowerPriority"


@pytest.mark.row("S2")
async def test_the_first_profile_wins_unless_the_pod_names_another(
    registered: Admission, admin: Client, namespace: str
) -> None:
    first, second = [await make_profile(admin, namespace, prefix) for prefix in ("a", "b")]
    assert facts(await make_pod(admin, namespace))[3] == {keys.PROFILE_LABEL: first}
    named = await make_pod(admin, namespace, labels={keys.PROFILE_LABEL: second})
    assert facts(named)[::3] == ("fargate-scheduler", {keys.PROFILE_LABEL: second})


@pytest.mark.row("S2")
async def test_a_pod_created_right_after_its_profile_is_marked(
    registered: Admission, admin: Client, namespace: str
) -> None:
    """The informer has had no time to hear of it."""
    for number in range(20):
        labels = {"number": str(number)}
        spec = FargateProfileSpec(selectors=[Selector(namespace=namespace, labels=labels)])
        name = f"fp-{uuid.uuid4().hex[:8]}"
        await admin.create(FargateProfile(metadata=ObjectMeta(name=name), spec=spec))
        pod = await make_pod(admin, namespace, labels=labels)
        assert facts(pod)[3] == {keys.PROFILE_LABEL: name, **labels}


@pytest.mark.row("S2")
async def test_a_profile_selects_pods_by_their_runtime_class(
    registered: Admission, admin: Client, namespace: str
) -> None:
    early = await make_pod(admin, namespace, runtimeClassName=keys.RUNTIME_CLASS)
    assert facts(early)[::3] == ("fargate-scheduler", None)
    labels = {keys.RUNTIME_CLASS_LABEL: keys.RUNTIME_CLASS}
    spec = FargateProfileSpec(selectors=[Selector(namespace=namespace, labels=labels)])
    name = f"fp-{uuid.uuid4().hex[:8]}"
    await admin.create(FargateProfile(metadata=ObjectMeta(name=name), spec=spec))
    chosen = await make_pod(admin, namespace, runtimeClassName=keys.RUNTIME_CLASS)
    assert facts(chosen)[::3] == ("fargate-scheduler", {keys.PROFILE_LABEL: name})
    assert facts(await make_pod(admin, namespace)) == UNTOUCHED
    # The class is of every namespace, the profile of one.
    other = await make_pod(admin, "kube-system", runtimeClassName=keys.RUNTIME_CLASS)
    assert facts(other)[::3] == ("fargate-scheduler", None)
    await admin.delete(Pod, meta(other).name or "", "kube-system", grace_period_s=0)


async def test_a_pod_of_the_runtime_class_runs_on_no_other_node(
    registered: Admission, admin: Client, namespace: str
) -> None:
    """Not even if it opts out of Fargate."""
    machines = {keys.COMPUTE_TYPE_KEY: keys.COMPUTE_TYPE_FARGATE}
    for annotations in (None, {keys.COMPUTE_TYPE_KEY: "ec2"}):
        pod = await make_pod(
            admin, namespace, annotations=annotations, runtimeClassName=keys.RUNTIME_CLASS
        )
        assert pod.spec is not None
        assert pod.spec.nodeSelector == machines
        assert not pod.spec.overhead
    with pytest.raises(ForbiddenError, match="conflict"):
        await make_pod(
            admin,
            namespace,
            runtimeClassName=keys.RUNTIME_CLASS,
            nodeSelector={keys.COMPUTE_TYPE_KEY: "ec2"},
        )


@pytest.mark.row("S2")
async def test_a_profile_deleted_right_after_its_creation_waits_for_its_pods(
    registered: Admission, admin: Client, namespace: str
) -> None:
    """No scheduler has seen it."""
    metadata = ObjectMeta(generateName="fp-", finalizers=["monopod.dev/test"])
    spec = FargateProfileSpec(selectors=[Selector(namespace=namespace)])
    held = meta(await admin.create(FargateProfile(metadata=metadata, spec=spec))).name or ""
    for name in (await make_profile(admin, namespace), held):
        await admin.delete(FargateProfile, name)
        deleted = meta(await admin.get(FargateProfile, name))
        assert deleted.deletionTimestamp is not None
        assert keys.PROFILE_FINALIZER in (deleted.finalizers or ())
        assert ("monopod.dev/test" in (deleted.finalizers or ())) == (name == held)
        await admin.patch(FargateProfile, name, {"metadata": {"finalizers": None}})


@pytest.mark.row("S2")
@pytest.mark.row("S19")
async def test_a_pod_of_an_account_made_just_before_gets_its_role(
    registered: Admission, admin: Client, namespace: str
) -> None:
    """The informer has had no time to hear of it."""
    arn = "arn:aws:iam::111122223333:role/reader"
    for name in ("first", "second", "third"):
        metadata = ObjectMeta(
            name=name, namespace=namespace, annotations={"eks.amazonaws.com/role-arn": arn}
        )
        await admin.create(ServiceAccount(metadata=metadata))
        pod = await make_pod(admin, namespace, serviceAccountName=name)
        assert pod.spec is not None
        variables = {each.name: each.value for each in pod.spec.containers[0].env or ()}
        assert variables["AWS_ROLE_ARN"] == arn
        assert "aws-iam-token" in {each.name for each in pod.spec.volumes or ()}
    plain = await make_pod(admin, namespace)
    assert plain.spec is not None
    assert not plain.spec.containers[0].env


async def test_the_annotation_opts_out(
    registered: Admission, admin: Client, namespace: str
) -> None:
    await make_profile(admin, namespace)
    pod = await make_pod(admin, namespace, annotations={keys.COMPUTE_TYPE_KEY: "ec2"})
    assert facts(pod) == UNTOUCHED


async def test_the_pods_own_priority_class_is_kept(
    registered: Admission, admin: Client, namespace: str
) -> None:
    gold = PriorityClass(metadata=ObjectMeta(name="gold"), value=7, preemptionPolicy="Never")
    with suppress(AlreadyExistsError):
        await admin.create(gold)
    profile = await make_profile(admin, namespace)
    pod = await make_pod(admin, namespace, priorityClassName="gold")
    assert facts(pod) == ("fargate-scheduler", "gold", 7, {keys.PROFILE_LABEL: profile})


@pytest.mark.row("S8")
async def test_naming_a_profile_that_does_not_exist_is_warned_about_at_once(
    registered: Admission, api_server: ApiServer, namespace: str
) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "early",
            "namespace": namespace,
            "labels": {keys.PROFILE_LABEL: "later"},
        },
        "spec": {"containers": [{"name": "main", "image": "x"}]},
    }
    done = api_server.kubectl(
        "create", "-f", "-", "-o", "jsonpath={.spec.schedulerName}", stdin=yaml.safe_dump(pod)
    )
    assert done.stdout == "fargate-scheduler"
    assert "Warning: The pod's label" in done.stderr
    assert "names Fargate profile later, which does not exist" in done.stderr


async def events_of(admin: Client, pod: Pod) -> list[Event]:
    fields = f"involvedObject.uid={meta(pod).uid}"
    return list((await admin.list(Event, meta(pod).namespace, fields=fields)).items)


def missed(admission: Admission) -> float:
    url = f"http://{LOOPBACK}:{admission.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    name = "monopod_admission_missed_pods "
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


async def fewer_missed(admission: Admission, than: float) -> bool:
    return missed(admission) < than


async def later_than(moment: datetime) -> bool:
    return datetime.now(UTC) > moment


async def test_a_missed_pod_is_reported_after_the_process_was_killed(
    registered: Admission, admin: Client, namespace: str
) -> None:
    profile = await make_profile(admin, namespace)
    made = meta(await admin.get(FargateProfile, profile)).creationTimestamp
    assert made is not None
    registered.end(signal.SIGKILL)
    try:
        await eventually(lambda: later_than(made + timedelta(seconds=1)))
        before = datetime.now(UTC)
        pod = await make_pod(admin, namespace)
        assert facts(pod) == UNTOUCHED
        assert datetime.now(UTC) - before < timedelta(seconds=2)
        classed = (await make_pod(admin, namespace, runtimeClassName=keys.RUNTIME_CLASS)).spec
        assert classed is not None
        assert classed.nodeSelector == {keys.COMPUTE_TYPE_KEY: keys.COMPUTE_TYPE_FARGATE}
        # Without its finalizer it could be deleted before its pods.
        with pytest.raises(TransientError, match="fargate-profile-finalizer"):
            await make_profile(admin, namespace)
    finally:
        registered.start()
    (event,) = await eventually(lambda: events_of(admin, pod))
    assert (event.reason, event.type) == (REASON, "Warning")
    assert f"matches Fargate profile {profile}" in (event.message or "")
    assert missed(registered) >= 1
    assert facts(await make_pod(admin, namespace))[3] == {keys.PROFILE_LABEL: profile}

    count = missed(registered)
    await admin.delete(Pod, meta(pod).name or "", namespace, grace_period_s=0)
    await eventually(lambda: fewer_missed(registered, count))


async def test_pods_are_let_through_when_it_hangs(
    registered: Admission, admin: Client, namespace: str
) -> None:
    await make_profile(admin, namespace)
    registered.send(signal.SIGSTOP)
    before = datetime.now(UTC)
    try:
        assert facts(await make_pod(admin, namespace)) == UNTOUCHED
    finally:
        registered.send(signal.SIGCONT)
    assert datetime.now(UTC) - before < timedelta(seconds=8)


async def test_it_stops_cleanly_on_sigterm(registered: Admission) -> None:
    assert registered.end(signal.SIGTERM) == 0
    registered.start()
    last = registered.log.splitlines()[-1]
    assert '"event": "ready"' in last
    assert '"service": "monopod-webhooks"' in last
