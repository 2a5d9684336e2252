from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from lightkube.models.core_v1 import ServiceSpec
from lightkube.resources.core_v1 import Service

from monopod.controllers.microvm import cluster_endpoint
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.identity.kubeconfig import kubeconfig
from monopod.kube import Client, NotFoundError

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


class Services:
    """A client that finds the Service of the cluster's DNS, or none."""

    def __init__(self, address: str | None) -> None:
        self._address = address

    async def get(self, kind: type[Any], name: str, namespace: str) -> Service:
        assert (kind, name, namespace) == (Service, "kube-dns", "kube-system")
        if self._address is None:
            raise NotFoundError("services kube-dns not found")
        return Service(spec=ServiceSpec(clusterIP=self._address))


def in_pod(tmp_path: Path) -> Path:
    """A kubeconfig as an installation mounts it."""
    (tmp_path / "ca.crt").write_bytes(b"authority")
    written = kubeconfig("https://kubernetes.default.svc", tmp_path / "ca.crt", "user")
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(written))
    return tmp_path / "kubeconfig"


async def found(
    config: Path, dns: str | None, settings: MicroVMSettings, environment: dict[str, str]
) -> cluster_endpoint.ClusterEndpoint:
    client = cast("Client", Services(dns))
    return await cluster_endpoint.of_services(client, config, "local-1", settings, environment)


async def test_in_a_pod_endpoints_are_those_of_services(tmp_path: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    known = await found(in_pod(tmp_path), "10.96.0.10", MicroVMSettings(), environment)
    assert (known.api_server, known.authority) == ("https://10.96.0.1:6443", b"authority")
    assert known.cluster_dns == known.resolver == IPv4Address("10.96.0.10")
    assert (known.registry, known.pull_proxy) == ("", "")


async def test_settings_take_the_place_of_services(tmp_path: Path) -> None:
    settings = MicroVMSettings(
        api_server="https://api.example.com", cluster_dns=IPv4Address("10.0.0.53")
    )
    known = await found(in_pod(tmp_path), None, settings, {})
    assert known.api_server == "https://api.example.com"
    assert known.cluster_dns == IPv4Address("10.0.0.53")


@pytest.mark.parametrize("dns", [None, "None"], ids=["absent", "headless"])
async def test_what_to_set_is_named(tmp_path: Path, dns: str | None) -> None:
    config = in_pod(tmp_path)
    with pytest.raises(ValueError, match="set MONOPOD_MICROVM_API_SERVER"):
        await found(config, "10.96.0.10", MicroVMSettings(), {})
    with pytest.raises(ValueError, match="set MONOPOD_MICROVM_CLUSTER_DNS"):
        await found(config, dns, MicroVMSettings(), {"KUBERNETES_SERVICE_HOST": "10.96.0.1"})


def test_empty_variables_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONOPOD_MICROVM_CLUSTER_DNS", "")
    assert MicroVMSettings().cluster_dns is None
