"""Sidecars before a real API server: who gets them, who may inject them, what is refused."""

import signal
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
import yaml
from lightkube.models.core_v1 import Container
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import DaemonSet
from lightkube.resources.core_v1 import ConfigMap, Pod, PodTemplate, ServiceAccount

from monopod.api import keys
from monopod.api.sidecar_injections import (
    ClusterSidecarInjection,
    RawDaemonSet,
    RawPodTemplate,
    SidecarInjection,
)
from monopod.kube import (
    Client,
    ForbiddenError,
    NotFoundError,
    TransientError,
    annotations_of,
    connect,
    meta,
    name_of,
)
from monopod.webhooks.sidecar_injections import MOST_IN_NAMESPACE
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually
from tests.framework.namespaces import new_namespace
from tests.sidecars.build import NODE_EXPORTER, template
from tests.webhooks.conftest import Admission
from tests.webhooks.test_end_to_end import make_pod, make_profile, remove_profile

pytestmark = pytest.mark.api


def injection(namespace: str, name: str = "agent", **spec: Any) -> SidecarInjection:
    made = {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": template(), **spec},
    }
    return msgspec.convert(made, SidecarInjection)


def cluster_injection(namespace: str, **spec: Any) -> ClusterSidecarInjection:
    """One for a test's namespace only."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    made = {
        "metadata": {"name": f"csi-{uuid.uuid4().hex[:8]}"},
        "spec": {"template": template(), "namespaceSelector": selector, **spec},
    }
    return msgspec.convert(made, ClusterSidecarInjection)


def init_containers(pod: Pod) -> list[Container]:
    assert pod.spec is not None
    return list(pod.spec.initContainers or ())


def names(pod: Pod) -> list[str]:
    return [each.name for each in init_containers(pod)]


@pytest.fixture
async def fargate(registered: Admission, admin: Client, namespace: str) -> str:
    """A namespace that a profile selects."""
    await make_profile(admin, namespace)
    return namespace


@pytest.mark.row("S9")
async def test_new_fargate_pods_that_are_selected_get_native_sidecars(
    registered: Admission, admin: Client, fargate: str
) -> None:
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    agent = {"name": "agent", "image": "agent:1", "resources": resources}
    selector = LabelSelector(matchLabels={"app": "web"})
    await admin.create(injection(fargate, template=template(agent), selector=selector))
    pod = await make_pod(admin, fargate, labels={"app": "web"})
    (sidecar,) = init_containers(pod)
    assert (sidecar.name, sidecar.restartPolicy) == ("agent", "Always")
    assert annotations_of(pod)[keys.SIDECARS_ANNOTATION] == "sidecarinjection/agent@1"
    assert names(await make_pod(admin, fargate, labels={"app": "other"})) == []
    elsewhere = await new_namespace(admin)
    assert names(await make_pod(admin, elsewhere, labels={"app": "web"})) == []
    ordinary = await make_pod(
        admin, fargate, labels={"app": "web"}, annotations={keys.COMPUTE_TYPE_KEY: "ec2"}
    )
    assert names(ordinary) == []


@pytest.mark.row("S9")
async def test_a_pod_created_right_after_an_injection_or_a_change_has_it(
    registered: Admission, admin: Client, fargate: str
) -> None:
    """The informers have had no time to hear of it."""
    for number in range(10):
        labels = {"number": str(number)}
        selector = LabelSelector(matchLabels=labels)
        made = await admin.create(injection(fargate, f"agent-{number}", selector=selector))
        pod = await make_pod(admin, fargate, labels=labels)
        assert annotations_of(pod)[keys.SIDECARS_ANNOTATION] == f"sidecarinjection/agent-{number}@1"
        made.spec.template = template({"name": "newer", "image": "agent:2"})
        await admin.replace(made)
        pod = await make_pod(admin, fargate, labels=labels)
        assert annotations_of(pod)[keys.SIDECARS_ANNOTATION] == f"sidecarinjection/agent-{number}@2"
        assert names(pod) == ["newer"]


@pytest.mark.row("S9")
async def test_an_administrators_injection_reaches_the_selected_namespaces(
    registered: Admission, admin: Client, fargate: str
) -> None:
    made = await admin.create(cluster_injection(fargate))
    try:
        pod = await make_pod(admin, fargate)
        said = f"clustersidecarinjection/{name_of(made)}@1"
        assert annotations_of(pod)[keys.SIDECARS_ANNOTATION] == said
        other = await new_namespace(admin)
        await make_profile(admin, other)
        assert names(await make_pod(admin, other)) == []
    finally:
        await admin.delete(ClusterSidecarInjection, name_of(made))


@pytest.mark.row("S9")
async def test_a_sidecar_has_the_pods_token_and_role_on_request_only(
    registered: Admission, admin: Client, fargate: str
) -> None:
    arn = {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/reader"}
    account = ObjectMeta(name="reader", namespace=fargate, annotations=arn)
    await admin.create(ServiceAccount(metadata=account))
    trusted = template({"name": "trusted", "image": "x"})
    await admin.create(injection(fargate, "a-plain"))
    await admin.create(injection(fargate, "b-trusted", template=trusted, podCredentials=True))
    pod = await make_pod(admin, fargate, serviceAccountName="reader")
    assert pod.spec is not None
    plain, with_credentials = init_containers(pod)
    (main,) = pod.spec.containers
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    volumes = {each.name: each for each in pod.spec.volumes or ()}

    def token(container: Container) -> bool:
        (mount,) = (each for each in container.volumeMounts or () if each.mountPath == path)
        return volumes[mount.name].projected is not None

    assert [token(each) for each in (plain, with_credentials, main)] == [False, True, True]
    roles = [
        "AWS_ROLE_ARN" in {variable.name for variable in each.env or ()}
        for each in (plain, with_credentials, main)
    ]
    assert roles == [False, True, True]


@pytest.mark.row("S9")
async def test_what_cannot_be_injected_is_refused_with_every_fault_and_the_way_out(
    registered: Admission, admin: Client, namespace: str
) -> None:
    for made in (
        injection(namespace, template={"spec": NODE_EXPORTER}),
        cluster_injection(namespace, template={"spec": NODE_EXPORTER}),
    ):
        with pytest.raises(ForbiddenError) as refused:
            await admin.create(made)
        for part in (
            "template.spec.hostNetwork",
            "template.spec.hostPID",
            "Capabilities added: SYS_TIME",
            "hostPort",
            "template.spec.volumes[root].hostPath",
            "docs/how-to/daemons-as-sidecars.md",
        ):
            assert part in refused.value.message


async def test_the_api_server_itself_checks_the_containers(
    registered: Admission, admin: Client, namespace: str
) -> None:
    bad = template(
        {"name": "good", "image": "x"},
        {"name": "bad", "image": "x", "ports": [{"name": "Not A Port", "containerPort": 0}]},
    )
    with pytest.raises(ForbiddenError, match=r"template\.spec\.containers\[1\]\.ports\[0\]"):
        await admin.create(injection(namespace, template=bad))
    missing = template(
        {"name": "a", "image": "x", "volumeMounts": [{"name": "none", "mountPath": "/x"}]}
    )
    with pytest.raises(ForbiddenError, match='Not found: "none"'):
        await admin.create(injection(namespace, template=missing))
    assert not (await admin.list(PodTemplate, namespace)).items


async def test_ignored_fields_are_warned_about(
    registered: Admission, api_server: ApiServer, namespace: str
) -> None:
    made = {
        "apiVersion": keys.API_VERSION,
        "kind": "SidecarInjection",
        "metadata": {"name": "agent", "namespace": namespace},
        "spec": {"template": template(serviceAccountName="agent", tolerations=[{}])},
    }
    done = api_server.kubectl("create", "-f", "-", stdin=yaml.safe_dump(made))
    assert done.returncode == 0, done.stderr
    assert "template.spec.serviceAccountName, template.spec.tolerations" in done.stderr


async def test_a_namespace_has_a_bounded_number_of_injections(
    registered: Admission, admin: Client, namespace: str
) -> None:
    async def full() -> bool:
        try:
            await admin.create(injection(namespace, f"agent-{uuid.uuid4().hex[:8]}"))
        except ForbiddenError as error:
            assert "the maximum" in error.message
            return True
        return False

    await eventually(full, every_s=0)
    count = len((await admin.list(SidecarInjection, namespace)).items)
    # The cache may lag by a few.
    assert MOST_IN_NAMESPACE <= count <= MOST_IN_NAMESPACE + 8


async def test_a_metadata_change_passes_though_the_webhook_knows_better(
    registered: Admission, admin: Client, namespace: str
) -> None:
    """The garbage collector must be able to remove finalizers of what was stored without it."""
    made = await admin.create(injection(namespace))
    for labels in ({"a": "b"}, {"a": None}):
        patch = {"metadata": {"labels": labels}}
        await admin.patch(SidecarInjection, name_of(made), patch, namespace)


async def test_pods_are_created_without_an_injection_that_is_known_to_be_broken(
    registered: Admission, admin: Client, fargate: str
) -> None:
    made = await admin.create(injection(fargate))
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "InvalidTemplate",
        "observedGeneration": meta(made).generation,
    }
    status = {"status": {"conditions": [condition]}}
    await admin.patch(SidecarInjection, "agent", status, fargate, subresource="status")

    async def without() -> bool:
        return names(await make_pod(admin, fargate)) == []

    await eventually(without)


async def test_injections_cannot_be_changed_while_nothing_checks_them(
    registered: Admission, admin: Client, namespace: str
) -> None:
    registered.end(signal.SIGKILL)
    try:
        with pytest.raises(TransientError, match=r"sidecar-injections\.monopod\.dev"):
            await admin.create(injection(namespace))
    finally:
        registered.start()
    await admin.create(injection(namespace))


@pytest.mark.row("S9")
async def test_pod_security_holds_for_what_is_injected(
    registered: Admission, admin: Client
) -> None:
    restricted = await new_namespace(admin, {"pod-security.kubernetes.io/enforce": "restricted"})
    await make_profile(admin, restricted)
    context = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    pod = msgspec.convert(
        {
            "metadata": {"name": "web", "namespace": restricted},
            "spec": {"containers": [{"name": "m", "image": "x", "securityContext": context}]},
        },
        Pod,
    )
    await admin.create(injection(restricted))
    with pytest.raises(ForbiddenError, match=r'restricted.*"agent"'):
        await admin.create(pod)
    safe = template({"name": "agent", "image": "x", "securityContext": context})
    made = await admin.get(SidecarInjection, "agent", restricted)
    made.spec.template = safe
    await admin.replace(made)
    assert names(await admin.create(pod)) == ["agent"]


async def test_a_pod_with_resources_as_a_whole_is_accepted(
    registered: Admission, admin: Client, fargate: str
) -> None:
    resources = {"requests": {"cpu": "300m"}, "limits": {"cpu": "500m"}}
    agent = {"name": "agent", "image": "x", "resources": resources}
    await admin.create(injection(fargate, template=template(agent)))
    made = {
        "metadata": {"name": "web", "namespace": fargate},
        "spec": {
            "resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "250m"}},
            "containers": [{"name": "m", "image": "x"}],
        },
    }
    pod = await admin.create(msgspec.convert(made, Pod))
    assert names(pod) == ["agent"]


def _let(server: ApiServer, namespace: str, user: str, *roles: str) -> None:
    group = "rbac.authorization.k8s.io"
    made = [
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"{user}-{number}", "namespace": namespace},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        }
        for number, role in enumerate(roles)
    ]
    done = server.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(made))
    assert done.returncode == 0, done.stderr


def _daemon_set(namespace: str, scope: str | None, image: str = "agent:1") -> RawDaemonSet:
    labels = {"app": "agent"}
    annotations = {keys.SIDECAR_INJECTION: scope} if scope else {}
    made = {
        "metadata": {"name": "agent", "namespace": namespace, "annotations": annotations},
        "spec": {"template": {}},
    }
    found = msgspec.convert(made, RawDaemonSet)
    assert found.spec is not None
    found.spec.template = {
        "metadata": {"labels": labels},
        **template({"name": "agent", "image": image}),
    }
    return found


async def _create(client: Client, made: RawDaemonSet) -> DaemonSet:
    """Create a DaemonSet, whose selector the raw kind lacks."""
    whole = msgspec.to_builtins(made)
    whole["spec"]["selector"] = {"matchLabels": {"app": "agent"}}
    return await client.create(msgspec.convert(whole, DaemonSet))


async def _forbidden(attempt: Callable[[], Awaitable[Any]]) -> bool:
    with suppress(ForbiddenError):
        await attempt()
        return False
    return True


@pytest.mark.row("S9")
async def test_an_editor_of_one_namespace_injects_into_its_pods_alone(
    registered: Admission, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    other = await new_namespace(admin)
    user = f"editor-{uuid.uuid4().hex[:8]}"
    # No controller aggregates these to "edit" here.
    _let(api_server, namespace, user, "system:aggregate-to-edit", "monopod:sidecar-injections-edit")
    async with connect(api_server.kubeconfig(user), "tests") as editor:

        async def bound() -> bool:
            return not await _forbidden(lambda: editor.list(SidecarInjection, namespace))

        await eventually(bound)
        await editor.create(injection(namespace))
        with pytest.raises(ForbiddenError, match="sidecarinjections"):
            await editor.create(injection(other))
        with pytest.raises(ForbiddenError, match="clustersidecarinjections"):
            await editor.create(cluster_injection(other))
        with pytest.raises(ForbiddenError, match="sidecarinjections/status"):
            status = {"status": {"pods": 7}}
            await editor.patch(SidecarInjection, "agent", status, namespace, subresource="status")


@pytest.mark.row("S9")
async def test_a_daemon_set_makes_no_more_than_its_author_may_create(
    registered: Admission, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    """Also who changes a template of which an administrator has made an injection."""
    author, editor = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("author", "editor"))
    roles = ("system:aggregate-to-edit", "system:aggregate-to-view")
    _let(api_server, namespace, author, *roles)
    _let(api_server, namespace, editor, *roles, "monopod:sidecar-injections-edit")
    async with (
        connect(api_server.kubeconfig(author), "tests") as plain,
        connect(api_server.kubeconfig(editor), "tests") as editing,
    ):

        async def bound() -> bool:
            return not await _forbidden(lambda: editing.list(DaemonSet, namespace))

        await eventually(bound)
        for client, scope in ((plain, "Namespace"), (plain, "Cluster"), (editing, "Cluster")):
            with pytest.raises(ForbiddenError, match="its author must be allowed to create"):
                await _create(client, _daemon_set(namespace, scope))
        with pytest.raises(ForbiddenError, match="is Namespace or Cluster"):
            await _create(admin, _daemon_set(namespace, "Galaxy"))
        await _create(editing, _daemon_set(namespace, "Namespace"))
        patch = {"metadata": {"annotations": {keys.SIDECAR_INJECTION: "Cluster"}}}
        with pytest.raises(ForbiddenError, match="its author must be allowed to create"):
            await editing.patch(DaemonSet, "agent", patch, namespace)
        await admin.patch(DaemonSet, "agent", patch, namespace)
        image = {"spec": {"template": {"spec": {"hostname": "mine"}}}}
        with pytest.raises(ForbiddenError, match="its author must be allowed to create"):
            await editing.patch(DaemonSet, "agent", image, namespace)
        await editing.patch(DaemonSet, "agent", {"metadata": {"labels": {"a": "b"}}}, namespace)


@pytest.mark.row("S9")
async def test_a_daemon_sets_author_is_shown_the_sidecar_way(
    registered: Admission, api_server: ApiServer, fargate: str
) -> None:
    def said(spec: dict[str, Any], annotations: dict[str, str]) -> str:
        labels = {"app": "agent"}
        made = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "d", "namespace": fargate, "annotations": annotations},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
        words = ("create", "--dry-run=server", "-f", "-")
        done = api_server.kubectl(*words, stdin=yaml.safe_dump(made))
        assert done.returncode == 0, done.stderr
        return done.stderr

    plain = template()["spec"]
    advice = said(plain, {})
    assert "pod of DaemonSet d (every Fargate node runs one pod only" in advice
    assert "annotate the DaemonSet with monopod.dev/sidecar-injection: Namespace" in advice
    annotated = {keys.SIDECAR_INJECTION: "Namespace"}
    assert "cannot be injected" not in said(plain, annotated)
    refused = said(NODE_EXPORTER, annotated)
    assert "this template cannot be injected: template.spec.hostNetwork" in refused
    assert "compute-type: ec2" in refused


async def test_monopods_own_users_write_nothing_but_what_they_need(
    registered: Admission, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    made = RawPodTemplate(
        metadata=ObjectMeta(name="t", namespace=namespace),
        template=template(restartPolicy="Always"),
    )
    async with connect(api_server.kubeconfig(keys.WEBHOOKS_USER), "tests") as webhooks:
        with pytest.raises(ForbiddenError, match="in dry runs only"):
            await webhooks.create(made)
        await webhooks.create(made, dry_run=True)
    with pytest.raises(NotFoundError):
        await admin.get(PodTemplate, "t", namespace)
    foreign = ConfigMap(metadata=ObjectMeta(name="sidecar-x", namespace=namespace))
    await admin.create(foreign)
    async with connect(api_server.kubeconfig(keys.SIDECARS_USER), "tests") as sidecars:
        label = {keys.SIDECAR_INJECTION: "uid"}
        for name, labels in (("settings", label), ("sidecar-y", None), ("sidecar-x", label)):
            wrong = ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace, labels=labels))
            with pytest.raises(ForbiddenError, match="ConfigMaps that it made, and no others"):
                await sidecars.apply(wrong)
        with pytest.raises(ForbiddenError, match="ConfigMaps that it made, and no others"):
            await sidecars.delete(ConfigMap, "sidecar-x", namespace)
        own = ConfigMap(metadata=ObjectMeta(name="sidecar-z", namespace=namespace, labels=label))
        await sidecars.apply(own)
        await sidecars.delete(ConfigMap, "sidecar-z", namespace)


async def test_the_systems_namespaces_are_left_alone(registered: Admission, admin: Client) -> None:
    made = cluster_injection("kube-system")
    await admin.create(made)
    profile = await make_profile(admin, "kube-system")
    try:
        pod = await make_pod(
            admin, "kube-system", labels={"a": "b"}, automountServiceAccountToken=False
        )
        assert meta(pod).labels == {"a": "b", keys.PROFILE_LABEL: profile}
        assert names(pod) == []
        await admin.delete(Pod, name_of(pod), "kube-system", grace_period_s=0)
    finally:
        await admin.delete(ClusterSidecarInjection, name_of(made))
        await remove_profile(admin, profile)
