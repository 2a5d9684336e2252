"""Parts of a baseline node, against the real kernel but without a cluster."""

import asyncio
import json
import os
import signal
import socket
import sys
import tomllib
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path, PurePosixPath

import pytest

from monopod.bench.baseline_node import configuration
from monopod.bench.baseline_node.cgroups import CgroupTree
from monopod.bench.baseline_node.configuration import BaselineConfiguration
from monopod.bench.baseline_node.shell import Shell
from monopod.bench.baseline_node.wiring import ADDRESS, PODS, Wire
from monopod.bench.errors import BenchError
from monopod.identity.authority import Pair
from monopod.identity.node import NodeCertificates
from monopod.node.guest.configuration import Registry
from monopod.node.net.addresses import MANAGEMENT, vmm_uid
from monopod.node.net.namespaces import Namespace
from monopod.util.cgroups import Hierarchies
from monopod.util.process import run
from tests.framework.eventually import eventually

NODE = BaselineConfiguration(
    name="baseline-abc123",
    address=IPv4Address("100.95.255.254"),
    pods=IPv4Network("100.95.254.0/24"),
    resolver=IPv4Address("192.168.0.2"),
    cluster_dns=IPv4Address("10.100.0.10"),
    api_server="https://100.127.0.6:6443",
    sandbox_image="monopod.dev/pause:1",
    registry=Registry("100.127.0.6:5000", b"CA"),
    cgroup="/monopod-abc123/baseline",
    ca_certificate=b"CA",
    certificates=NodeCertificates(
        client=Pair(b"CERTIFICATE\n", b"SECRET"), serving=Pair(b"SERVING", b"SECRET TOO")
    ),
    labels={"b": "2", "a": "1"},
    taints=(("a", "1", "NoSchedule"),),
)
RUN = PurePosixPath("/run/config")
CGROUP = f"monopod-test-{os.getpid()}/baseline"


@pytest.mark.unit
def test_configuration_files() -> None:
    found = configuration.files(NODE)
    kubelet = json.loads(found[RUN / "kubelet.json"].content)
    assert kubelet["cgroupRoot"] == "/monopod-abc123/baseline"
    assert kubelet["registerWithTaints"] == [{"key": "a", "value": "1", "effect": "NoSchedule"}]
    assert kubelet["failCgroupV1"] is False
    containerd = tomllib.loads(found[RUN / "containerd.toml"].content.decode())
    runtime = containerd["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["restrict_oom_score_adj"] is True
    hosts = found[RUN / "certs.d/100.127.0.6:5000/hosts.toml"].content.decode()
    assert tomllib.loads(hosts)["server"] == "https://100.127.0.6:5000"
    cni = json.loads(found[RUN / "cni/10-pods.conflist"].content)
    assert cni["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "100.95.254.0/24"}]]
    script = found[configuration.SERVICES / "kubelet" / "run"]
    assert "--node-labels=a=1,b=2" in script.content.decode()
    assert script.mode == 0o700


@pytest.mark.unit
def test_secrets_are_files_for_root_only_and_no_arguments() -> None:
    found = configuration.files(NODE)
    holding = {path for path, file in found.items() if b"SECRET" in file.content}
    assert holding == {RUN / "client.pem", RUN / "serving.key"}
    assert all(found[path].mode == 0o600 for path in holding)
    assert found[RUN / "client.pem"].content == b"CERTIFICATE\nSECRET"
    assert "SECRET" not in repr(NODE)


@pytest.mark.unit
def test_its_addresses_are_disjoint_from_machines() -> None:
    assert ADDRESS in MANAGEMENT
    assert PODS.subnet_of(MANAGEMENT)
    assert ADDRESS not in PODS
    for address in (ADDRESS, PODS[0]):
        with pytest.raises(ValueError, match="not a machine's"):
            vmm_uid("abc123", address)


def traces(path: str) -> list[Path]:
    roots = Hierarchies.of_this_host().roots
    return [root / path for root in roots if (root / path).exists()]


@pytest.mark.kernel
async def test_cgroups_are_created_joined_killed_and_removed() -> None:
    tree = CgroupTree(CGROUP)
    joins = tree.create()
    try:
        assert len(joins) == len(traces(CGROUP)) > 0
        writes = "; ".join(f"echo 0 >{file}" for file in joins)
        child = await asyncio.create_subprocess_exec(
            "/bin/sh", "-euc", f"{writes}; echo in; exec sleep 600", stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"in\n"
        tree.create()
    finally:
        await tree.destroy(10)
    assert await child.wait() == -signal.SIGKILL
    assert traces(CGROUP.partition("/")[0]) == []
    await tree.destroy(10)


def make_root(directory: Path) -> Path:
    """Create a node's directory with one service that only waits."""
    for path in configuration.directories():
        (directory / path.relative_to("/")).mkdir(parents=True)
    service = directory / configuration.SERVICES.relative_to("/") / "waiter" / "run"
    service.parent.mkdir(parents=True)
    service.write_text("#!/bin/sh\necho up >/run/up\nexec sleep 600\n")
    service.chmod(0o700)
    for name, value in configuration.TUNABLES.items():
        copy = directory / configuration.tunable_copy(name).relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(f"{value}\n")
    return directory


def read(path: str) -> str:
    return Path(path).read_text()


def processes_in(root: Path) -> list[int]:
    """Processes whose /run is the node's."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                mounts = (entry / "mountinfo").read_text()
            except OSError:
                continue
            if f"{root}/run /run " in mounts:
                found.append(int(entry.name))
    return found


@pytest.mark.kernel
async def test_the_shell_is_isolated_and_ends_completely(tmp_path: Path) -> None:
    root = make_root(tmp_path / "node")
    panic = read("/proc/sys/kernel/panic")
    shell = await Shell.start(root, "some-node", Path("/usr/bin"), [])
    try:
        assert set(shell.network.interfaces()) == {"lo"}
        await shell.release()
        await eventually((root / "run/up").exists)
        script = "cat /proc/sys/kernel/panic; ls /run/monopod/bin/env; ls /var"
        said = await shell.run_inside("/bin/sh", "-ec", script)
        assert said.split() == ["10", "/run/monopod/bin/env", "lib", "log"]
        # It has one procfs that a pod's user namespace may mount again.
        new = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork")
        await shell.run_inside(*new, "mount", "-t", "proc", "proc", "/proc")
        assert shell.runs
    finally:
        await shell.kill()
    await eventually(lambda: not processes_in(root))
    assert not shell.runs
    assert read("/proc/sys/kernel/panic") == panic
    assert str(root) not in read("/proc/self/mountinfo")


@pytest.mark.kernel
async def test_everything_ends_when_the_parent_is_killed(tmp_path: Path) -> None:
    root = make_root(tmp_path / "node")
    starter = (
        "import asyncio, pathlib, sys\n"
        "from monopod.bench.baseline_node.shell import Shell\n"
        "async def main():\n"
        "    root = pathlib.Path(sys.argv[1])\n"
        "    shell = await Shell.start(root, 'n', pathlib.Path('/usr/bin'), [])\n"
        "    await shell.release()\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", starter, str(root))
    try:
        await eventually((root / "run/up").exists)
        assert processes_in(root)
    finally:
        child.kill()
        await child.wait()
    await eventually(lambda: not processes_in(root))


@pytest.mark.kernel
async def test_an_error_says_why_namespaces_cannot_be_created(tmp_path: Path) -> None:
    root = make_root(tmp_path / "node")
    with pytest.raises(BenchError, match=r"cannot create .* namespaces: .*not-there"):
        await Shell.start(root, "n", tmp_path / "not-there", [])
    assert processes_in(root) == []


@pytest.mark.kernel
async def test_the_link_routes_both_ways_and_is_removed(tmp_path: Path) -> None:
    router = Namespace(tmp_path / "router")
    router.create()
    try:
        root = make_root(tmp_path / "node")
        shell = await Shell.start(root, "n", Path("/usr/bin"), [])
        try:
            wire = Wire("node-test")
            await wire.connect(router, shell.network)
            said = await run("nsenter", f"--net={router.path}", "ip", "route", "get", str(PODS[7]))
            assert f"via {ADDRESS} dev node-test" in said
            said = await shell.run_inside("ip", "route", "get", "10.100.0.1")
            assert f"via 100.64.0.1 dev eth0 src {ADDRESS}" in said
            # The router drops ARP from machines' links, including this one.
            for inside in (f"--net={router.path}", f"--net={shell.network.path}"):
                said = await run("nsenter", inside, "ip", "neigh")
                assert said.strip().endswith("PERMANENT"), said
            # A "connection refused" comes from the other side: packets pass both ways.
            with pytest.raises(ConnectionRefusedError):
                router.call(lambda: socket.create_connection((str(ADDRESS), 9), timeout=5))
            await wire.disconnect(router)
            assert set(router.interfaces()) == {"lo"}
            await wire.disconnect(router)
        finally:
            await shell.kill()
    finally:
        router.remove()
