"""A team's workflow on EKS: the aws command and boto3, and of Monopod only `env`."""

import asyncio
import json
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio
import yaml

from monopod.util import process
from tests.e2e import go
from tests.e2e.cluster import MONOPOD, Cluster, Namespace, pod

pytestmark = pytest.mark.e2e

_AWS = Path(sys.executable).with_name("aws")
_CLUSTER = "monopod"
_PROFILE = "made-by-aws"
_NAMESPACE = "made-by-aws"
_ROLE = "arn:aws:iam::000000000000:role/e2e"
_ONE = ("--cluster-name", _CLUSTER, "--fargate-profile-name", _PROFILE)


async def in_shell(cluster: Cluster, *words: str, path: Path | None = None) -> str:
    """Run a program in a shell whose environment is set up as the manual describes."""
    line = f'eval "$({shlex.quote(str(MONOPOD))} env aws)" && exec {shlex.join(words)}'
    environment = dict(cluster.environment)
    if path is not None:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    return await process.run("sh", "-c", line, env=environment, timeout_s=120)


async def aws(cluster: Cluster, *words: str) -> str:
    return await in_shell(cluster, str(_AWS), *words)


async def _sdk(cluster: Cluster) -> Any:
    """boto3's client, configured by the variables that `env aws` exports."""
    said = await cluster.monopod("env", "aws")
    exported = dict(
        line.removeprefix("export ").split("=", 1)
        for line in shlex.split(said, comments=True)
        if "=" in line
    )
    return boto3.client(
        "eks",
        endpoint_url=exported["AWS_ENDPOINT_URL_EKS"],
        verify=exported["AWS_CA_BUNDLE"],
        region_name=exported["AWS_REGION"],
        aws_access_key_id=exported["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exported["AWS_SECRET_ACCESS_KEY"],
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ground(cluster: Cluster) -> AsyncIterator[Namespace]:
    """A namespace that no profile selects yet."""
    await cluster.kubectl("create", "namespace", _NAMESPACE)
    account = ("serviceaccount/default", "--for=create", "--timeout=60s")
    await cluster.kubectl("-n", _NAMESPACE, "wait", *account)
    yield Namespace(cluster, _NAMESPACE, _PROFILE)
    await cluster.kubectl("delete", "fargateprofile", _PROFILE, "--ignore-not-found")
    await cluster.kubectl("delete", "namespace", _NAMESPACE, "--timeout=60s")


@pytest.mark.row("S20")
@pytest.mark.asyncio(loop_scope="session")
async def test_a_profile_created_by_aws_starts_pods_and_its_deletion_terminates_them(
    cluster: Cluster, ground: Namespace, image: str
) -> None:
    made = ("--pod-execution-role-arn", _ROLE, "--selectors", f"namespace={_NAMESPACE}")
    await aws(cluster, "eks", "create-fargate-profile", *_ONE, *made, "--tags", "team=a")
    await aws(cluster, "eks", "wait", "fargate-profile-active", *_ONE)
    assert (await cluster.get("fargateprofile", _PROFILE))["spec"]["tags"] == {"team": "a"}

    await ground.apply(pod("web", image))
    await ground.ready("web")
    started = await ground.get("pod", "web")
    assert started["metadata"]["labels"]["eks.amazonaws.com/fargate-profile"] == _PROFILE
    node = started["spec"]["nodeName"]
    assert node.startswith("fargate-ip-")

    said = await aws(cluster, "eks", "delete-fargate-profile", *_ONE, "--output", "json")
    assert json.loads(said)["fargateProfile"]["status"] == "DELETING"
    sdk = await _sdk(cluster)
    waiter = sdk.get_waiter("fargate_profile_deleted")
    await asyncio.to_thread(
        waiter.wait,
        clusterName=_CLUSTER,
        fargateProfileName=_PROFILE,
        WaiterConfig={"Delay": 1, "MaxAttempts": 60},
    )
    assert (await ground.get("pods"))["items"] == []
    await cluster.kubectl("wait", "--for=delete", f"node/{node}", "--timeout=30s")


@pytest.mark.row("S20")
@pytest.mark.asyncio(loop_scope="session")
async def test_the_kubeconfig_that_the_aws_command_writes_works(
    cluster: Cluster, tmp_path: Path
) -> None:
    config = tmp_path / "kubeconfig"
    words = ("eks", "update-kubeconfig", "--name", _CLUSTER, "--kubeconfig", str(config))
    await aws(cluster, *words)
    kubectl = (str(MONOPOD), "kubectl", "--", f"--kubeconfig={config}")
    # The kubeconfig has the bare command name, which kubectl resolves by the path.
    said = await in_shell(cluster, *kubectl, "auth", "whoami", "-o", "json", path=_AWS.parent)
    user = json.loads(said)["status"]["userInfo"]
    assert user["username"] == "monopod:admin"
    assert set(user["groups"]) == {"system:masters", "system:authenticated"}
    wrong = yaml.safe_load(config.read_text())
    wrong["users"][0]["user"] = {"token": "k8s-aws-v1.aHR0cHM6Ly9zdHMu"}
    config.write_text(yaml.safe_dump(wrong))
    with pytest.raises(process.ProcessError, match=r"Unauthorized|must be logged in"):
        await cluster.kubectl(f"--kubeconfig={config}", "get", "pods")


@pytest.mark.row("S20")
@pytest.mark.asyncio(loop_scope="session")
async def test_aws_s_sdk_for_go(cluster: Cluster, tmp_path: Path) -> None:
    """A client without boto3 code: another signer, waiters, pagination and encoding."""
    client = tmp_path / "client"
    await go.build("goclient", client)
    said = await in_shell(cluster, str(client), _CLUSTER, "made-by-go", _ROLE)
    states, error = said.splitlines()
    profiles = await cluster.get("fargateprofiles")
    others = [each["metadata"]["name"] for each in profiles["items"]]
    names = " ".join(sorted([*others, "made-by-go"]))
    assert states == f"CREATING ACTIVE map[a:b] [{names}] DELETING"
    assert "ResourceNotFoundException: No Fargate Profile found with name: made-by-go." in error
