"""Real machines, and what this host sees of them from outside."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from monopod.node.vmm.console import tail
from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.uml import UmlDriver
from monopod.util import process
from tests.vmm.conftest import MAC, UID, Bench, scripted

pytestmark = pytest.mark.kernel

_TALKING = scripted(
    """
    ip address add 192.0.2.2/24 dev vec0
    ip link set vec0 up
    while :; do ip neighbour add 192.0.2.1 dev vec0 nud probe; sleep 1; done
    """
)
"""Asks the other end of its link for its address, for ever."""


async def _frame(link: socket.socket) -> bytes:
    """The next frame that a guest sends: it has booted."""
    async with asyncio.timeout(60):
        return await asyncio.get_running_loop().sock_recv(link, 2048)


def _vmm(bench: Bench, name: str) -> list[int]:
    """The processes of the kernel itself."""
    found: list[int] = []
    for pid in bench.cgroups.processes(name):
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text() == "linux\n":
                found.append(pid)
    return found


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


@pytest.mark.row("S17")
async def test_a_vmm_has_nothing_that_it_was_not_given(bench: Bench) -> None:
    with await bench.launch("one", _TALKING) as link:
        frame = await _frame(link)
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
        vmms = _vmm(bench, "one")
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
    assert Path(f"/proc/{pid}/environ").read_bytes() in (b"", b"PWD=/\0")


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
    with await bench.launch("one", _TALKING) as link:
        await _frame(link)

        def check(pid: int) -> None:
            for controllers, path in _groups(pid).items():
                if not controllers or set(controllers.split(",")) & {"cpu", "memory", "pids"}:
                    assert path == f"/{bench.group}/one"

        assert _check_each(bench.cgroups.processes("one"), check) >= 4


_LAUNCHER = """
import asyncio, json, socket, sys
from pathlib import Path
from monopod.fargate.sizing import Size
from monopod.node.vmm.cgroups import Cgroups
from monopod.node.vmm.driver import Machine
from monopod.node.vmm.uml import UmlDriver
from monopod.util.cgroups import Hierarchies

async def main() -> None:
    wanted = json.load(sys.stdin)
    paths = {key: Path(value) for key, value in wanted["paths"].items()}
    driver = UmlDriver(
        kernel=paths.pop("kernel"),
        runtime=paths.pop("runtime"),
        cgroups=Cgroups(Hierarchies.of_this_host(), wanted["group"]),
        console_of=lambda name: paths["console_directory"],
    )
    size = Size(*wanted["machine"].pop("size"))
    await driver.launch(Machine(size=size, **wanted["machine"], **paths), wanted["links"])
    print("launched", flush=True)
    await driver.watch(wanted["machine"]["name"])

asyncio.run(main())
"""


async def test_a_machine_outlives_the_process_that_launched_it(bench: Bench) -> None:
    machine = await bench.machine("one", _TALKING)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        near.setblocking(False)
        os.set_inheritable(far.fileno(), True)
        launcher = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _LAUNCHER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[far.fileno()],
            start_new_session=True,
        )
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        paths = {
            "kernel": bench.image.uml.directory,
            "runtime": bench.home / "uml",
            "root_image": machine.root_image,
            "data_disk": machine.data_disk,
            "config_disk": machine.config_disk,
            "console_directory": machine.console_directory,
        }
        numbers = {
            "name": "one",
            "uid": machine.uid,
            "size": astuple(machine.size),
            "mac_addresses": machine.mac_addresses,
        }
        wanted = {
            "paths": {key: str(path) for key, path in paths.items()},
            "machine": numbers,
            "group": bench.group,
            "links": [far.fileno()] * 2,
        }
        launcher.stdin.write(json.dumps(wanted).encode())
        launcher.stdin.write_eof()
        assert await launcher.stdout.readline() == b"launched\n"
        os.killpg(launcher.pid, signal.SIGKILL)
        assert await launcher.wait() == -signal.SIGKILL

        await _frame(near)
        driver = bench.driver()
        watching = asyncio.create_task(driver.watch("one"))
        await asyncio.wait([watching], timeout=0.1)
        assert not watching.done()

        await driver.stop("one")
        assert (await watching).reason == "VmmKilled"
        assert bench.cgroups.names() == []
        assert bench.cgroups.processes("one") == []
        await driver.stop("one")


@pytest.mark.parametrize(
    ("script", "reason", "message"),
    [
        ("echo o >/proc/sysrq-trigger; sleep 60", "GuestPoweredOff", "shut itself down"),
        ("echo c >/proc/sysrq-trigger; sleep 60", "GuestPanicked", "sysrq triggered crash"),
        ("exit 7", "GuestPanicked", "Attempted to kill init"),
        (
            "cp -a /etc/s6 /run/s6; rm -r /run/s6/kubelet /run/s6/containerd; "
            "{ until s6-svscanctl -t /run/s6; do sleep 0.1; done; } & exec s6-svscan /run/s6",
            "GuestPoweredOff",
            "shut itself down",
        ),
    ],
)
async def test_exits_are_classified(bench: Bench, script: str, reason: str, message: str) -> None:
    with await bench.launch("one", scripted(script)):
        async with asyncio.timeout(60):
            end = await bench.driver().watch("one")
        assert (end.name, end.reason) == ("one", reason)
        assert message in end.message


@pytest.mark.row("S17")
async def test_a_guests_root_cannot_look_at_the_host(bench: Bench) -> None:
    script = """
        mkdir /run/host
        for place in / /proc /dev/shm ../..; do
            mount -t hostfs -o hostfs="$place" none /run/host && ls /run/host && echo seen
        done
        [ -e /dev/ubdd ] && echo seen
        echo finished
        sleep 600
    """
    with await bench.launch("one", scripted(script)):
        await bench.printed("one", "finished")
        assert "seen" not in tail(bench.console_of("one"))


async def test_a_killed_vmm_leaves_no_process(bench: Bench) -> None:
    with await bench.launch("one", _TALKING) as link:
        await _frame(link)
        os.kill(min(_vmm(bench, "one")), signal.SIGKILL)
        async with asyncio.timeout(30):
            assert (await bench.driver().watch("one")).reason == "VmmKilled"
        assert bench.cgroups.processes("one") == []


async def test_services_start_and_log_to_the_console(bench: Bench) -> None:
    """Without a configuration the kubelet cannot live, but everything before it must."""
    with await bench.launch("one", {"machine": b"hostname=m\n", "network": b""}):
        for words in ("containerd successfully booted", "failed to load kubelet config"):
            await bench.printed("one", words)


async def test_a_link_that_fails_once_is_brought_up_all_the_same(bench: Bench) -> None:
    network = b"link set missing up\nlink set vec0 up\n"
    with await bench.launch("one", {"machine": b"hostname=m\n", "network": network}) as link:
        assert (await _frame(link))[6:12] == bytes.fromhex(MAC.replace(":", ""))


async def test_what_cannot_be_launched_is_refused_and_leaves_nothing(
    bench: Bench, open_link: socket.socket
) -> None:
    driver: UmlDriver = bench.driver()
    big = await bench.machine("big", _TALKING, milli_cpu=2000)
    with pytest.raises(VmmError, match="one processor"):
        await driver.launch(big, (open_link.fileno(),) * 2)
    broken = await bench.machine("broken", _TALKING)
    broken.data_disk.unlink()
    with pytest.raises(VmmError, match=r"data\.img"):
        await driver.launch(broken, (open_link.fileno(),) * 2)
    assert bench.cgroups.names() == []


async def test_a_running_machine_is_not_launched_again(
    bench: Bench, open_link: socket.socket
) -> None:
    with await bench.launch("one", _TALKING) as link:
        await _frame(link)
        vmm = min(_vmm(bench, "one"))
        again = await bench.machine("again", _TALKING)
        with pytest.raises(VmmError, match="already runs"):
            await bench.driver().launch(replace(again, name="one"), (open_link.fileno(),) * 2)
        assert vmm in _vmm(bench, "one")


async def test_a_home_that_others_cannot_enter_is_refused(bench: Bench) -> None:
    bench.home.chmod(0o700)
    with pytest.raises(VmmError, match="cannot enter"):
        await bench.driver().prepare()


async def test_other_users_cannot_read_a_machines_files(bench: Bench) -> None:
    machine = await bench.machine("one", scripted("secret"))
    for path in (machine.data_disk, machine.config_disk):
        with pytest.raises(process.ProcessError, match="Permission denied"):
            await process.run(
                *("setpriv", f"--reuid={UID + 1}", f"--regid={UID + 1}", "--clear-groups"),
                *("cat", path),
            )
