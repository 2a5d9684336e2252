"""The API server's reasons for not running a command, from a real one."""

import pytest
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from monopod.kube import Client, ForbiddenError, InvalidError, NotFoundError, connect
from monopod.kube.exec import run_in_pod
from tests.apiserver import ApiServer

pytestmark = pytest.mark.api


def _pod(namespace: str) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="web", namespace=namespace),
        spec=PodSpec(containers=[Container(name="main", image="none")], schedulerName="none"),
    )


async def _run(client: Client, pod: Pod) -> bytes:
    return await run_in_pod(client, pod, "main", ("cat",), b"", timeout_s=10)


async def test_a_user_without_the_right_learns_which_it_lacks(
    api_server: ApiServer, admin: Client, namespace: str
) -> None:
    pod = await admin.create(_pod(namespace))
    async with connect(api_server.kubeconfig("stranger"), "tests") as stranger:
        with pytest.raises(ForbiddenError, match=r'pods "web" is forbidden: .*"pods/exec"'):
            await _run(stranger, pod)


async def test_a_pod_that_is_gone_is_not_found(admin: Client, namespace: str) -> None:
    with pytest.raises(NotFoundError, match='pods "web" not found'):
        await _run(admin, _pod(namespace))


async def test_a_pod_that_is_not_scheduled_is_named(admin: Client, namespace: str) -> None:
    pod = await admin.create(_pod(namespace))
    with pytest.raises(InvalidError, match="web does not have a host assigned"):
        await _run(admin, pod)
