"""Images that need a password: machines pull with it by the proxy, and neither they have it nor
their containers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from monopod.build.images import catalogue
from monopod.controllers.scheduler.decide import machine_name
from monopod.node.provider.directory import MachineDirectory
from tests.e2e.cluster import Cluster, Namespace, pod
from tests.e2e.private_registry import PASSWORD, PrivateRegistry, private_registry
from tests.framework.eventually import eventually

pytestmark = pytest.mark.e2e

_NAME = "e2e-private"
_ARN = f"arn:aws:iam::000000000000:role/{_NAME}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> AsyncIterator[PrivateRegistry]:
    async with private_registry(tmp_path_factory.mktemp("registry")) as made:
        yield made
    for kind in ("executionrole", "fargateprofile"):
        await cluster.kubectl("delete", kind, _NAME, "--ignore-not-found")
    await cluster.kubectl("-n", "monopod-system", "delete", "secret", _NAME, "--ignore-not-found")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def private_image(registry: PrivateRegistry) -> str:
    return await registry.push(await catalogue.build_test_image(), "team/test:1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def labels(cluster: Cluster, namespace: Namespace) -> dict[str, str]:
    """Labels of pods whose profile names a role of this module's own."""
    label = {"role": "private"}
    await cluster.apply(
        _object(
            "FargateProfile",
            selectors=[{"namespace": namespace.name, "labels": label}],
            podExecutionRoleArn=_ARN,
        )
    )
    await cluster.kubectl("wait", "fp", _NAME, "--for=jsonpath={.status.status}=ACTIVE")
    return {**label, "eks.amazonaws.com/fargate-profile": _NAME}


def _object(kind: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "monopod.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": _NAME},
        "spec": spec,
    }


def _secret(content: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": _NAME, "namespace": "monopod-system"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": content},
    }


async def _not_pulled(namespace: Namespace, name: str, *words: str) -> None:
    """Wait until the kubelet gives up pulling for a while, and has said these words of it."""
    await namespace.wait(
        "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff",
        f"pod/{name}",
    )

    async def said() -> bool:
        events = await namespace.get("events", f"--field-selector=involvedObject.name={name}")
        failed = [each["message"] for each in events["items"] if each["reason"] == "Failed"]
        assert all(word in "\n".join(failed) for word in words), failed
        return True

    await eventually(said, f"events of {name}: {words}", 30, every_s=0.2)


@pytest.mark.row("S13")
async def test_without_a_role_the_pull_fails_with_the_reason(
    cluster: Cluster,
    namespace: Namespace,
    labels: dict[str, str],
    registry: PrivateRegistry,
    private_image: str,
) -> None:
    await cluster.apply(
        _object(
            "ExecutionRole",
            arn=_ARN,
            registryAuthorities=[
                {"registry": registry.endpoint, "certificate": registry.authority}
            ],
        )
    )
    await namespace.apply(pod("anonymous", private_image, labels=labels))
    await _not_pulled(namespace, "anonymous", "ErrImagePull", "no basic auth credentials")
    await namespace.kubectl("delete", "pod", "anonymous")


@pytest.mark.row("S13")
async def test_with_its_role_it_runs_and_the_container_has_no_credential(
    cluster: Cluster,
    namespace: Namespace,
    labels: dict[str, str],
    registry: PrivateRegistry,
    private_image: str,
) -> None:
    await cluster.apply(
        _secret(registry.docker_config()),
        _object(
            "ExecutionRole",
            arn=_ARN,
            imagePullSecrets=[{"name": _NAME}],
            registryAuthorities=[
                {"registry": registry.endpoint, "certificate": registry.authority}
            ],
        ),
    )
    await cluster.kubectl("wait", "executionrole", _NAME, "--for=condition=Ready")
    await namespace.apply(pod("granted", private_image, labels=labels))
    await namespace.ready("granted")
    made = await namespace.get("pod", "granted")
    assert "imagePullSecrets" not in made["spec"]
    needles = (PASSWORD, registry.authorization.split()[1])
    seen = await namespace.sh("granted", "env; cat /proc/*/environ /proc/*/cmdline /proc/mounts")
    search = (
        "find / -xdev -type f -exec grep -lF -e {} -e {} {{}} +; find /run /dev /etc -type f"
        " -exec grep -lF -e {} -e {} {{}} +; true"
    )
    everywhere = search.format(*needles, *needles)
    found = await namespace.sh("granted", everywhere)
    # The search itself does find what is there.
    planted = await namespace.sh("granted", f"echo {needles[0]} >/tmp/planted; {everywhere}")
    assert found == ""
    assert planted.strip() == "/tmp/planted"
    assert "/run/config" not in seen
    assert not any(needle in seen for needle in needles)
    # Nor has root in the machine: its disks are all that it gets.
    uid = made["metadata"]["uid"]
    disk = MachineDirectory(cluster.home / "machines" / machine_name(uid)).config_disk.read_bytes()
    assert b"Authorization = " in disk
    assert not any(needle.encode() in disk for needle in needles)


async def test_a_container_cannot_read_the_machines_configuration(
    namespace: Namespace, labels: dict[str, str]
) -> None:
    """Not even as root with every capability that a pod may have, making the device file itself."""
    script = (
        "for minor in 0 16 32 48; do mknod /tmp/disk$minor b 98 $minor;"
        " mknod /tmp/vd$minor b 254 $minor;"
        " head -c 512 /tmp/disk$minor; head -c 512 /tmp/vd$minor; done 2>&1; true"
    )
    said = await namespace.sh("granted", script)
    assert "machine" not in said
    # A kernel without any such device says the latter.
    assert said.count("not permitted") + said.count("No such device or address") >= 4, said
    await namespace.kubectl("delete", "pod", "granted")


async def test_a_wrong_password_is_reported_and_a_changed_secret_takes_effect(
    cluster: Cluster,
    namespace: Namespace,
    labels: dict[str, str],
    registry: PrivateRegistry,
    private_image: str,
) -> None:
    await cluster.apply(_secret(registry.docker_config("wrong")))
    await namespace.apply(pod("stale", private_image, labels=labels))
    await _not_pulled(namespace, "stale", "401 Unauthorized")
    await namespace.kubectl("delete", "pod", "stale")
    await cluster.apply(_secret(registry.docker_config()))
    await namespace.apply(pod("renewed", private_image, labels=labels))
    await namespace.ready("renewed")
    await namespace.kubectl("delete", "pod", "renewed")
