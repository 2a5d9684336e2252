from pathlib import Path

import pytest
import yaml

from monopod.controllers.microvm import cluster_endpoint
from monopod.identity.kubeconfig import kubeconfig

pytestmark = pytest.mark.unit


def test_endpoints_are_those_of_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"authority")
    for authority in (tmp_path / "ca.crt", Path("ca.crt")):
        written = kubeconfig("https://100.127.7.6:6443", authority, "user")
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(written))
        found = cluster_endpoint.read(tmp_path / "kubeconfig", "local-1")
        assert (found.api_server, found.authority) == ("https://100.127.7.6:6443", b"authority")
        assert found.registry == "100.127.7.6:5000"
        assert found.pull_proxy == "100.127.7.14:5001"


@pytest.mark.parametrize("text", ["", "{", "clusters: []", "current-context: gone"])
def test_an_unusable_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(ValueError, match=r"kubeconfig has no usable server and authority"):
        cluster_endpoint.read(tmp_path / "kubeconfig", "local-1")
    absent = kubeconfig("https://192.0.2.1:6443", tmp_path / "absent.crt", "user")
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(absent))
    with pytest.raises(ValueError, match=r"absent\.crt"):
        cluster_endpoint.read(tmp_path / "kubeconfig", "local-1")
