"""The cgroups of machines, with files in place of version 2 and on this host."""

import asyncio
import os
import sys
import uuid
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monopod.node.vmm.cgroups import PERIOD_US, Cgroups, Limits
from monopod.node.vmm.driver import VmmError
from monopod.util.cgroups import Hierarchies

_MIB = 1 << 20
_LIMITS = Limits(milli_cpu=1000, memory_bytes=64 * _MIB, processes=50)


@pytest.mark.unit
@pytest.mark.unit
@pytest.mark.unit
def test_a_host_without_cgroup_v2_is_rejected() -> None:
    with pytest.raises(VmmError, match="cgroup v2 is not mounted"):
        Cgroups(Hierarchies(None, {"cpu": Path("/sys/fs/cgroup/cpu")}), "machines")


@pytest.fixture
def ordinary(tmp_path: Path) -> Cgroups:
    """Files where an ordinary host has its one hierarchy."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    (tmp_path / "machines").mkdir()
    return Cgroups(Hierarchies(tmp_path, {}), "machines")


@pytest.mark.unit
def test_version_2_carries_all_limits(ordinary: Cgroups, tmp_path: Path) -> None:
    procs = ordinary.create("one", _LIMITS)
    group = tmp_path / "machines" / "one"
    assert procs == [group / "cgroup.procs"]
    assert (group / "memory.max").read_text() == str(64 * _MIB)
    assert (group / "pids.max").read_text() == "50"
    assert (group / "cpu.max").read_text() == f"{PERIOD_US} {PERIOD_US}"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    ordinary.set_cpu_part("one", 0.25)
    assert (group / "cpu.weight").read_text() == "250"
    ordinary.set_cpu_quota("one", 350)
    quota, period = (group / "cpu.max").read_text().split()
    assert int(quota) * 1000 == int(period) * 350


@pytest.mark.unit
def test_a_missing_controller_is_named(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io pids\n")
    with pytest.raises(VmmError, match="no cgroup controller memory"):
        Cgroups(Hierarchies(tmp_path, {}), "machines").check()


@pytest.fixture
async def cgroups() -> AsyncIterator[Cgroups]:
    """Groups of this test's own on this host; gone, with all in them, at its end."""
    made = Cgroups(Hierarchies.of_this_host(), f"monopod-test-{uuid.uuid4().hex[:8]}")
    yield made
    for name in made.names():
        await made.kill(name)
        made.remove(name)
    made.remove_parent()


async def _start(cgroups: Cgroups, name: str, *argv: str, limits: Limits = _LIMITS) -> Process:
    """A program in a machine's groups, from its first instruction on."""
    joins = " && ".join(f"echo 0 > {procs}" for procs in cgroups.create(name, limits))
    return await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        f'{joins} && echo joined && exec "$@"',
        "sh",
        *argv,
        stdout=asyncio.subprocess.PIPE,
    )


async def _joined(child: Process) -> None:
    assert child.stdout is not None
    assert await child.stdout.readline() == b"joined\n"


@pytest.mark.kernel
async def test_a_machine_is_seen_killed_and_forgotten(cgroups: Cgroups) -> None:
    child = await _start(cgroups, "one", "sh", "-c", "sleep 600 & sleep 600")
    await _joined(child)
    assert cgroups.is_populated("one")
    assert child.pid in cgroups.processes("one")
    assert cgroups.names() == ["one"]
    with pytest.raises(VmmError, match="already runs"):
        cgroups.create("one", _LIMITS)
    with pytest.raises(VmmError, match="cannot be removed"):
        cgroups.remove("one")
    await cgroups.kill("one")
    assert not cgroups.is_populated("one")
    assert await child.wait() == -9
    cgroups.remove("one")
    assert cgroups.names() == []


@pytest.mark.kernel
async def test_the_end_of_the_last_process_is_detected(cgroups: Cgroups) -> None:
    child = await _start(cgroups, "one", "sleep", "600")
    await _joined(child)
    waiting = [asyncio.create_task(cgroups.wait_empty("one")) for _ in range(3)]
    await asyncio.wait(waiting, timeout=0.2)
    assert not any(task.done() for task in waiting)
    child.kill()
    await asyncio.gather(*waiting)
    assert await child.wait() == -9


@pytest.mark.unit
async def test_one_that_never_was_is_empty(cgroups: Cgroups) -> None:
    await cgroups.wait_empty("none")
    await cgroups.kill("none")
    cgroups.remove("none")
    cgroups.set_cpu_quota("none", 100)
    cgroups.set_cpu_part("none", 0.5)
    assert not cgroups.is_populated("none")
    assert cgroups.processes("none") == []


@pytest.mark.kernel
async def test_an_oom_kill_is_detected(cgroups: Cgroups) -> None:
    hog = "import sys; sys.stdout.flush(); bytearray(200 << 20)"
    child = await _start(cgroups, "one", sys.executable, "-S", "-c", hog)
    assert await child.wait() == -9
    await cgroups.wait_empty("one")
    assert cgroups.was_out_of_memory("one")


@pytest.mark.kernel
async def test_no_more_processes_than_allowed(cgroups: Cgroups) -> None:
    limits = Limits(milli_cpu=1000, memory_bytes=64 * _MIB, processes=5)
    forks = "import os\nfor _ in range(20): os.fork() or os.execvp('sleep', ['sleep', '600'])"
    child = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        " && ".join(f"echo 0 > {procs}" for procs in cgroups.create("one", limits))
        + ' && exec "$@"',
        "sh",
        *(sys.executable, "-S", "-c", forks),
        stderr=DEVNULL,
    )
    assert await child.wait() == 1
    assert len(cgroups.processes("one")) <= limits.processes


@pytest.mark.kernel
@pytest.mark.row("S5")
async def test_a_held_machine_gets_its_share_of_a_processor(cgroups: Cgroups) -> None:
    child = await _start(cgroups, "one", "sh", "-c", "while :; do :; done")
    await _joined(child)
    cgroups.set_cpu_quota("one", 200)
    loop = asyncio.get_running_loop()
    before, started = _cpu_s(child.pid), loop.time()
    await asyncio.wait([asyncio.create_task(child.wait())], timeout=1)
    share = (_cpu_s(child.pid) - before) / (loop.time() - started)
    child.kill()
    await child.wait()
    assert share < 0.25


@pytest.mark.kernel
@pytest.mark.row("S5")
async def test_many_machines_of_one_namespace_slow_down_anothers_as_one_would(
    cgroups: Cgroups,
) -> None:
    """One machine against four with a quarter of its part each, all on one processor."""
    processor = min(os.sched_getaffinity(0))
    parts = {"one": 1.0, "two": 0.25, "three": 0.25, "four": 0.25, "five": 0.25}
    busy = ("taskset", "--cpu-list", str(processor), "sh", "-c", "while :; do :; done")
    children: dict[str, Process] = {}
    for name, part in parts.items():
        children[name] = await _start(cgroups, name, *busy)
        cgroups.set_cpu_part(name, part)
    await asyncio.gather(*map(_joined, children.values()))
    before = {name: _cpu_s(child.pid) for name, child in children.items()}
    ends = [asyncio.create_task(child.wait()) for child in children.values()]
    await asyncio.wait(ends, timeout=2)
    took = {name: _cpu_s(child.pid) - before[name] for name, child in children.items()}
    for child in children.values():
        child.kill()
    await asyncio.gather(*ends)
    # A fifth, if all had the same part.
    assert took["one"] > 0.35 * sum(took.values())


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
