"""What a VMM of User Mode Linux has on this host: nothing but what it was given."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from monopod.node.vmm.uml import REGISTERS
from tests.vmm.conftest import MAC, UID, Bench
from tests.vmm.talking import TALKING, first_frame, vmm_processes

pytestmark = pytest.mark.kernel


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


@pytest.mark.row("S17")
async def test_a_vmm_has_nothing_that_it_was_not_given(bench: Bench) -> None:
    with await bench.launch("one", TALKING) as link:
        frame = await first_frame(link)
        assert frame[6:12] == bytes.fromhex(MAC.replace(":", ""))

        def check_process(pid: int) -> None:
            status = _status(pid)
            assert status["Uid"].split() == status["Gid"].split() == [str(UID)] * 4
            assert status["Groups"] == ""
            assert status["NoNewPrivs"] == "1"
            for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                assert int(status[kind], 16) == 0, kind

        def check_vmm(pid: int) -> None:
            assert _status(pid)["Seccomp"] == "2"
            _check_namespaces(pid)
            _check_descriptors(bench, pid)
            _check_mounts(pid)
            _check_limits(pid)
            _check_environment(pid)

        assert _check_each(bench.cgroups.processes("one"), check_process) >= 4
        vmms = vmm_processes(bench, "one")
        assert _check_each(vmms, check_vmm) >= 2
        check_vmm(min(vmms))


def _check_each(pids: Iterable[int], check: Callable[[int], None]) -> int:
    """Check every process that has not ended meanwhile, as guests' processes do; returns how many.

    A process whose end is near already lacks some of what is looked at.
    """
    checked = 0
    for pid in pids:
        try:
            check(pid)
        except (OSError, AssertionError):
            if _lives(pid):
                raise
        else:
            checked += 1
    return checked


def _lives(pid: int) -> bool:
    try:
        return _status(pid)["State"][0] not in "ZX" and any(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _check_namespaces(pid: int) -> None:
    for kind in ("user", "pid", "net", "ipc", "uts", "cgroup", "mnt"):
        theirs, ours = (Path(f"/proc/{process}/ns/{kind}") for process in (pid, "self"))
        assert theirs.readlink() != ours.readlink(), kind


def _check_environment(pid: int) -> None:
    seen = Path(f"/proc/{pid}/environ").read_text().rstrip("\0").split("\0")
    assert set(seen) - {"PWD=/"} == {f"LD_PRELOAD=/{REGISTERS}"}


def _check_descriptors(bench: Bench, pid: int) -> None:
    allowed = (
        "/dev/null",
        r"pipe:\[\d+\]",  # to the logger
        r"socket:\[\d+\]",  # its link, and pairs within itself
        r"anon_inode:\[(eventpoll|timerfd|eventfd)\]",
        r"/dev/shm/.*",  # the guest's memory, its own management socket
        re.escape(str(bench.image.root_image)),
        re.escape(str(bench.home / "one" / "data.img")),
        re.escape(str(bench.home / "one" / "config.img")),
    )
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = str(descriptor.readlink())
        assert re.fullmatch("|".join(allowed), target), target
        if target == str(bench.image.root_image):
            flags = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text()
            assert int(flags.split("flags:")[1].split()[0], 8) & os.O_ACCMODE == os.O_RDONLY


def _check_mounts(pid: int) -> None:
    mounts: dict[str, str] = {}
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        mounts[fields[4]] = fields[5].split(",")[0]
    # What hides the host's own entries of /proc.
    covers = {path: mode for path, mode in mounts.items() if path.startswith("/proc/")}
    assert set(covers.values()) <= {"ro"}
    assert {path: mode for path, mode in mounts.items() if path not in covers} == {
        "/": "ro",
        "/linux": "ro",
        f"/{REGISTERS}": "ro",
        "/lib": "ro",
        "/lib64": "ro",
        "/proc": "rw",
        "/dev/shm": "rw",
    }


def _check_limits(pid: int) -> None:
    limits = Path(f"/proc/{pid}/limits").read_text()
    soft = dict(re.findall(r"^(Max [a-z ]+?)  +(\S+)", limits, re.MULTILINE))
    assert soft["Max core file size"] == "0"
    assert int(soft["Max open files"]) <= 256
    assert int(soft["Max processes"]) < 2048
    assert soft["Max file size"] == str(20 << 30)


def _groups(pid: int) -> dict[str, str]:
    """The path of a process's cgroup by the hierarchy's controllers."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}


@pytest.mark.row("S5")
async def test_a_machine_is_in_its_own_cgroups_from_the_start(bench: Bench) -> None:
    with await bench.launch("one", TALKING) as link:
        await first_frame(link)

        def check(pid: int) -> None:
            for controllers, path in _groups(pid).items():
                if not controllers or set(controllers.split(",")) & {"cpu", "memory", "pids"}:
                    assert path == f"/{bench.group}/one"

        assert _check_each(bench.cgroups.processes("one"), check) >= 4
