"""The cluster's description, as the aws CLI reads it."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace

from monopod.kube import Client, meta
from tests.eksapi.conftest import REGION, Running
from tests.eksapi.test_profiles_api import CLUSTER, refusal

pytestmark = pytest.mark.api


async def test_the_cluster(eks: Any, running: Running, admin: Client) -> None:
    made = await admin.apply(Namespace(metadata=ObjectMeta(name="kube-system")))
    assert eks.list_clusters()["clusters"] == [CLUSTER]
    shown = eks.describe_cluster(name=CLUSTER)["cluster"]
    assert shown["arn"] == "arn:aws:eks:local-1:000000000000:cluster/monopod"
    assert shown["endpoint"] == running.server
    assert base64.b64decode(shown["certificateAuthority"]["data"]) == running.authority.read_bytes()
    assert shown["createdAt"] == meta(made).creationTimestamp
    assert (shown["status"], shown["version"]) == ("ACTIVE", "1.37")
    assert eks.list_tags_for_resource(resourceArn=shown["arn"])["tags"] == {}


def test_another_cluster(eks: Any) -> None:
    with pytest.raises(ClientError) as raised:
        eks.describe_cluster(name="other")
    assert refusal(raised) == (
        "ResourceNotFoundException",
        404,
        "No cluster found for name: other.",
    )


@pytest.mark.row("S20")
def test_the_aws_command_writes_a_kubeconfig(running: Running, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL_EKS": running.url,
        "AWS_CA_BUNDLE": str(running.authority),
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": running.administrator.id,
        "AWS_SECRET_ACCESS_KEY": running.administrator.secret,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    config = tmp_path / "kubeconfig"
    words = ("eks", "update-kubeconfig", "--name", CLUSTER, "--kubeconfig", str(config))
    aws = Path(sys.executable).with_name("aws")
    subprocess.run([aws, *words], env=environment, check=True, timeout=60)
    written = yaml.safe_load(config.read_text())
    assert written["clusters"][0]["cluster"]["server"] == running.server
    assert written["users"][0]["user"]["exec"]["args"][-2:] == ["--output", "json"]
