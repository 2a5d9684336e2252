"""The control plane's cgroups: their limits in both versions, and what meets them."""

import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from monopod.controlplane.errors import ClusterError
from monopod.controlplane.monopod_services import python_paths
from monopod.controlplane.service import Role, Service
from monopod.controlplane.service_groups import Limits, ServiceGroups, limits
from monopod.controlplane.settings import ControlPlaneSettings
from monopod.controlplane.supervision import State, Supervisor
from monopod.node.net.namespaces import Namespace
from monopod.util.cgroups import Cgroup, Hierarchies
from tests.framework.eventually import eventually

_UID: Final = 1_399_999_999
_LIMITS: Final = Limits(memory_bytes=96 << 20, processes=32)
_PATH: Final = "monopod-abc/services"


def _read(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_text() for path in files}


@pytest.mark.unit
def test_version_2_passes_controllers_on_to_the_groups(tmp_path: Path) -> None:
    services = tmp_path / _PATH
    services.mkdir(parents=True)
    # A control plane from before there were limits has its supervisors here.
    (services / "cgroup.procs").write_text("17\n")
    groups = ServiceGroups(Hierarchies(tmp_path, {}), _PATH)
    (services / "etcd").mkdir()
    (services / "etcd" / "memory.swap.max").write_text("max")
    groups.limit("etcd", _LIMITS)
    assert _read(tmp_path) == {
        "cgroup.subtree_control": "+memory +pids +cpu",
        "monopod-abc/cgroup.subtree_control": "+memory +pids +cpu",
        f"{_PATH}/cgroup.subtree_control": "+memory +pids +cpu",
        f"{_PATH}/cpu.weight": "1000",
        f"{_PATH}/cgroup.procs": "17\n",
        f"{_PATH}/supervisors/cgroup.procs": "17",
        f"{_PATH}/etcd/memory.max": str(96 << 20),
        f"{_PATH}/etcd/memory.oom.group": "1",
        f"{_PATH}/etcd/memory.swap.max": "0",
        f"{_PATH}/etcd/pids.max": "32",
    }
    assert groups.procs("etcd") == [services / "etcd" / "cgroup.procs"]


@pytest.mark.unit
def test_version_1_has_each_limit_in_its_hierarchy(tmp_path: Path) -> None:
    cpu, memory, pids = (tmp_path / name for name in ("cpu", "memory", "pids"))
    for group in (cpu / _PATH, (cpu / _PATH).parent):
        group.mkdir(parents=True, exist_ok=True)
        (group / "cpu.shares").write_text("1024")
    legacy = {"cpu": cpu, "memory": memory, "pids": pids}
    groups = ServiceGroups(Hierarchies(tmp_path / "unified", legacy), _PATH)
    groups.limit("etcd", _LIMITS)
    assert _read(tmp_path) == {
        f"cpu/{_PATH}/cpu.shares": "10240",
        "cpu/monopod-abc/cpu.shares": "1024",
        f"memory/{_PATH}/etcd/memory.limit_in_bytes": str(96 << 20),
        f"pids/{_PATH}/etcd/pids.max": "32",
    }
    assert groups.procs("etcd") == [
        memory / _PATH / "etcd" / "cgroup.procs",
        pids / _PATH / "etcd" / "cgroup.procs",
        cpu / _PATH / "etcd" / "cgroup.procs",
    ]


@pytest.mark.unit
def test_a_refusal_names_the_service_and_the_settings(tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("no directory")
    groups = ServiceGroups(Hierarchies(None, {"memory": tmp_path / "memory"}), _PATH)
    with pytest.raises(ClusterError, match=r"of etcd cannot be set: .*MONOPOD_CONTROLPLANE_"):
        groups.limit("etcd", _LIMITS)


@pytest.mark.unit
def test_each_role_has_the_limits_of_its_settings() -> None:
    found = limits(
        ControlPlaneSettings(
            store_memory_mib=300, server_memory_mib=301, controller_memory_mib=302, processes=200
        )
    )
    assert {role: (each.memory_bytes >> 20, each.processes) for role, each in found.items()} == {
        Role.STORE: (300, 200),
        Role.SERVER: (301, 200),
        Role.CONTROLLER: (302, 200),
    }


@pytest.fixture(name="namespace", scope="module")
def _namespace() -> Iterator[str]:  # pyright: ignore[reportUnusedFunction]
    name = f"monopod-test-{secrets.token_hex(3)}"
    made = Namespace.named(name)
    made.create()
    yield name
    made.remove()


@pytest_asyncio.fixture(name="supervisor")
async def _supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:  # pyright: ignore[reportUnusedFunction]
    groups = ServiceGroups(Hierarchies.of_this_host(), f"monopod-test-{secrets.token_hex(3)}/s")
    # Loggers are not root.
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    made = Supervisor(
        tmp_path / "services",
        tmp_path / "logs",
        _UID,
        groups,
        dict.fromkeys(Role, _LIMITS),
    )
    yield made
    for root in Hierarchies.of_this_host().roots:
        await Cgroup(root, groups.path.split("/")[0]).destroy(10)


def _service(namespace: str, name: str, program: str, *writable: Path) -> Service:
    return Service(
        name,
        (sys.executable, "-c", program),
        uid=_UID,
        namespace=namespace,
        readable=python_paths(),
        writable=writable,
    )


_IDLE: Final = "import signal; signal.pause()"
_LEAK: Final = """
import signal
kept = [bytearray(b"x" * (1 << 20)) for _ in range(512)]
signal.pause()
"""
_FORKS: Final = """
import os, pathlib, signal
count = 0
try:
    while True:
        if os.fork() == 0:
            signal.pause()
        count += 1
except OSError:
    pathlib.Path("{file}").write_text(str(count))
signal.pause()
"""


@pytest.mark.kernel
@pytest.mark.row("S19")
async def test_a_process_that_leaks_is_ended_and_restarted_and_its_neighbours_live(
    supervisor: Supervisor, namespace: str
) -> None:
    await supervisor.apply(
        [_service(namespace, "neighbour", _IDLE), _service(namespace, "leak", _LEAK)]
    )

    async def state(name: str) -> State | None:
        found = await supervisor.state(name)
        return found if found is not None and found.pid is not None else None

    neighbour = await eventually(lambda: state("neighbour"))
    ended = set[int | None]()

    async def restarted() -> bool:
        found = await state("leak")
        ended.add(found.pid if found else None)
        return len(ended - {None}) >= 2

    await eventually(restarted, timeout_s=30)
    now = await state("neighbour")
    assert now is not None
    assert now.pid == neighbour.pid


@pytest.mark.kernel
@pytest.mark.row("S19")
async def test_a_process_that_forks_without_end_takes_no_more_than_its_share(
    supervisor: Supervisor, namespace: str, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, _UID, _UID)
    program = _FORKS.format(file=shared / "count")
    await supervisor.apply(
        [_service(namespace, "forks", program, shared), _service(namespace, "neighbour", _IDLE)]
    )

    def counted() -> int:
        return int((shared / "count").read_text())

    count = await eventually(counted, timeout_s=30, errors=(OSError, ValueError))
    # bubblewrap's two and the program itself.
    assert _LIMITS.processes - 4 <= count < _LIMITS.processes
    found = await supervisor.state("neighbour")
    assert found is not None
    assert found.up
