"""The client against a real API server."""

from pathlib import Path

import pytest
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.models.policy_v1 import PodDisruptionBudgetSpec
from lightkube.resources.core_v1 import ConfigMap, Namespace, Node, Pod
from lightkube.resources.policy_v1 import PodDisruptionBudget

from monopod.api.resources import FargateProfile, FargateProfileSpec, Selector
from monopod.kube import (
    AlreadyExistsError,
    Client,
    ConflictError,
    EvictionRefusedError,
    ForbiddenError,
    InvalidError,
    KubeconfigError,
    KubeError,
    NotFoundError,
    PatchType,
    TransientError,
    UnauthorizedError,
    connect,
    meta,
    uid_of,
)
from tests.apiserver import ApiServer, CertificateMaker


def config(namespace: str, name: str = "a", **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace), data=data)


def pod(namespace: str, name: str = "p") -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=PodSpec(containers=[Container(name="c", image="i")], schedulerName="none"),
    )


@pytest.mark.api
@pytest.mark.row("S21")
async def test_evictions_are_refused_by_disruption_budgets(admin: Client, namespace: str) -> None:
    made = pod(namespace)
    meta(made).labels = {"app": "p"}
    uid = uid_of(await admin.create(made))
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await admin.patch(Pod, "p", {"status": status}, namespace, subresource="status")
    with pytest.raises(ConflictError):
        await admin.evict("p", namespace, uid="another")
    for name, several in (("one", False), ("two", True)):
        spec = PodDisruptionBudgetSpec(
            maxUnavailable=0, selector=LabelSelector(matchLabels={"app": "p"})
        )
        metadata = ObjectMeta(name=name, namespace=namespace)
        await admin.create(PodDisruptionBudget(metadata=metadata, spec=spec))
        # As the disruption controller does, which does not run here.
        seen = {"observedGeneration": 1, "disruptionsAllowed": 0}
        seen |= {"currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}
        await admin.patch(
            PodDisruptionBudget, name, {"status": seen}, namespace, subresource="status"
        )
        for dry_run in (True, False):
            with pytest.raises(EvictionRefusedError) as caught:
                await admin.evict("p", namespace, uid=uid, dry_run=dry_run)
            assert caught.value.several is several
    for name in ("one", "two"):
        await admin.delete(PodDisruptionBudget, name, namespace)
    await admin.evict("p", namespace, uid=uid, dry_run=True)
    assert meta(await admin.get(Pod, "p", namespace)).deletionTimestamp is None
    await admin.evict("p", namespace, uid=uid)
    with pytest.raises(NotFoundError):
        await admin.evict("p", namespace, uid=uid)


@pytest.mark.api
async def test_object_lifecycle(admin: Client, namespace: str) -> None:
    made = await admin.create(config(namespace, x="1"))
    assert (made.apiVersion, made.kind) == ("v1", "ConfigMap")
    with pytest.raises(AlreadyExistsError):
        await admin.create(config(namespace))
    patched = await admin.patch(ConfigMap, "a", {"data": {"x": None, "y": "2"}}, namespace)
    assert patched.data == {"y": "2"}
    with pytest.raises(ConflictError):
        await admin.replace(made)
    patched.data = {"z": "3"}
    await admin.replace(patched)
    assert (await admin.get(ConfigMap, "a", namespace)).data == {"z": "3"}
    steps = [{"op": "add", "path": "/data/w", "value": "4"}]
    await admin.patch(ConfigMap, "a", steps, namespace, kind_of_patch=PatchType.JSON)
    listing = await admin.list(ConfigMap, namespace, fields="metadata.name=a")
    assert [each.data for each in listing.items] == [{"z": "3", "w": "4"}]
    assert listing.version
    assert listing.items[0].kind == "ConfigMap"
    with pytest.raises(ConflictError):
        await admin.delete(ConfigMap, "a", namespace, uid="another")
    await admin.delete(ConfigMap, "a", namespace, uid=meta(made).uid)
    with pytest.raises(NotFoundError):
        await admin.get(ConfigMap, "a", namespace)


@pytest.mark.api
async def test_patch_preconditions_on_uid_and_version(admin: Client, namespace: str) -> None:
    made = await admin.create(config(namespace))
    await admin.patch(ConfigMap, "a", {"data": {"x": "1"}}, namespace)
    for stale in ({"resourceVersion": meta(made).resourceVersion}, {"uid": "another"}):
        with pytest.raises(ConflictError):
            await admin.patch(ConfigMap, "a", {"metadata": stale}, namespace)


@pytest.mark.api
@pytest.mark.parametrize("subresource", [None, "status"])
async def test_a_patch_with_a_uid_does_not_reach_a_later_pod_of_the_name(
    admin: Client, namespace: str, subresource: str | None
) -> None:
    await admin.create(pod(namespace))
    for how in (PatchType.MERGE, PatchType.STRATEGIC):
        with pytest.raises(ConflictError):
            await admin.patch(
                Pod,
                "p",
                {"metadata": {"uid": "another"}, "status": {"nominatedNodeName": "n"}},
                namespace,
                subresource=subresource,
                kind_of_patch=how,
            )


@pytest.mark.api
async def test_apply_owns_only_its_fields(admin: Client, namespace: str) -> None:
    await admin.apply(config(namespace, x="1"), field_manager="one")
    await admin.apply(config(namespace, y="2"), field_manager="two")
    await admin.apply(config(namespace), field_manager="one")
    assert (await admin.get(ConfigMap, "a", namespace)).data == {"y": "2"}
    with pytest.raises(ConflictError):
        await admin.apply(config(namespace, y="3"), field_manager="one", force=False)


@pytest.mark.api
async def test_long_lists_are_paged(admin: Client, namespace: str) -> None:
    for number in range(7):
        await admin.create(config(namespace, f"n-{number}"))
    pages = await admin.list_raw(ConfigMap, namespace, page=2)
    assert len(pages[0]) == 7


@pytest.mark.api
async def test_a_pod_is_bound_once(admin: Client, namespace: str) -> None:
    made = await admin.create(pod(namespace))
    await admin.bind(made, "somewhere")
    assert (await admin.get(Pod, "p", namespace)).spec.nodeName == "somewhere"  # pyright: ignore[reportOptionalMemberAccess]
    with pytest.raises(ConflictError):
        await admin.bind(made, "elsewhere")
    await admin.delete(Pod, "p", namespace, grace_period_s=0)
    with pytest.raises(NotFoundError):
        await admin.bind(made, "elsewhere")
    await admin.create(pod(namespace))
    with pytest.raises(ConflictError):
        await admin.bind(made, "elsewhere")


@pytest.mark.api
async def test_status_is_a_subresource(admin: Client, namespace: str) -> None:
    made = await admin.create(pod(namespace))
    condition = {"type": "PodScheduled", "status": "False", "reason": "Why"}
    patched = await admin.patch(
        Pod,
        "p",
        {"status": {"conditions": [condition], "nominatedNodeName": "mvm-1"}},
        namespace,
        subresource="status",
        kind_of_patch=PatchType.STRATEGIC,
    )
    assert patched.status is not None
    assert patched.status.nominatedNodeName == "mvm-1"
    assert meta(patched).uid == meta(made).uid


@pytest.mark.api
async def test_cluster_scoped_and_custom_resources(admin: Client, namespace: str) -> None:
    spec = FargateProfileSpec(selectors=[Selector(namespace=namespace)])
    made = await admin.create(FargateProfile(metadata=ObjectMeta(name=namespace), spec=spec))
    status = {"status": {"status": "ACTIVE"}}
    await admin.patch(FargateProfile, namespace, status, subresource="status")
    found = await admin.get(FargateProfile, namespace)
    assert found.status is not None
    assert (found.status.status, found.spec) == ("ACTIVE", made.spec)
    await admin.delete(FargateProfile, namespace)


@pytest.mark.api
async def test_errors_are_typed(admin: Client, api_server: ApiServer, namespace: str) -> None:
    with pytest.raises(InvalidError, match="containers"):
        await admin.create(
            Pod(metadata=ObjectMeta(name="p", namespace=namespace), spec=PodSpec(containers=[]))
        )
    with pytest.raises(NotFoundError):
        await admin.create(config("no-such-namespace"))
    with pytest.raises(KubeError, match="without a name"):
        await admin.get(Node, "")
    with pytest.raises(KubeError, match="without its namespace"):
        await admin.get(Pod, "p")
    with pytest.raises(NotFoundError):
        await admin.get(Pod, "p/log", namespace)
    async with connect(api_server.kubeconfig("unknown-user"), "tests") as unknown:
        with pytest.raises(ForbiddenError, match="unknown-user"):
            await unknown.list(Namespace)


@pytest.mark.api
async def test_an_unreachable_server(api_server: ApiServer, tmp_path: Path) -> None:
    lost = tmp_path / "kubeconfig"
    lost.write_text(api_server.admin.read_text().replace(api_server.url, "https://127.0.0.1:1"))
    async with connect(lost, "tests") as client:
        with pytest.raises(TransientError, match="cannot be reached"):
            await client.list(Namespace)


@pytest.mark.unit
@pytest.mark.parametrize("broken", ["", "{", "clusters: []", "current-context: gone"])
async def test_invalid_kubeconfigs(broken: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(broken)
    with pytest.raises(KubeconfigError, match="kubeconfig"):
        async with connect(file, "tests"):
            pass
    with pytest.raises(KubeconfigError, match="not-there"):
        async with connect(tmp_path / "not-there", "tests"):
            pass


@pytest.mark.api
async def test_a_renewed_certificate_is_used(api_server: ApiServer) -> None:
    kubeconfig = api_server.kubeconfig("renewed", "system:masters")
    home = kubeconfig.parent
    good = [(home / name).read_bytes() for name in ("client.crt", "client.key")]
    other = CertificateMaker().issue("renewed", ("system:masters",))

    def write(certificate: bytes, key: bytes) -> None:
        (home / "client.crt").write_bytes(certificate)
        (home / "client.key").write_bytes(key)

    write(*other)
    async with connect(kubeconfig, "tests") as client:
        with pytest.raises((UnauthorizedError, TransientError)):
            await client.list(Namespace)
        # Halfway through a renewal, certificate and key do not match: the old pair stays in use.
        (home / "client.crt").write_bytes(good[0])
        with pytest.raises((UnauthorizedError, TransientError)):
            await client.list(Namespace)
        write(good[0], good[1])
        assert (await client.list(Namespace)).items
