"""User Mode Linux machines, and what this host sees of them."""

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import astuple, replace

import pytest

from monopod.node.vmm.console import tail
from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.uml import UmlDriver
from monopod.util import process
from tests.vmm.conftest import MAC, UID, Bench, scripted
from tests.vmm.talking import TALKING, first_frame, vmm_processes

pytestmark = pytest.mark.kernel

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
    machine = await bench.machine("one", TALKING)
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

        await first_frame(near)
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
    with await bench.launch("one", TALKING) as link:
        await first_frame(link)
        os.kill(vmm_processes(bench, "one")[0], signal.SIGKILL)
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
        assert (await first_frame(link))[6:12] == bytes.fromhex(MAC.replace(":", ""))


async def test_what_cannot_be_launched_is_refused_and_leaves_nothing(
    bench: Bench, open_link: socket.socket
) -> None:
    driver: UmlDriver = bench.driver()
    big = await bench.machine("big", TALKING, milli_cpu=2000)
    with pytest.raises(VmmError, match="one processor"):
        await driver.launch(big, (open_link.fileno(),) * 2)
    broken = await bench.machine("broken", TALKING)
    broken.data_disk.unlink()
    with pytest.raises(VmmError, match=r"data\.img"):
        await driver.launch(broken, (open_link.fileno(),) * 2)
    assert bench.cgroups.names() == []


async def test_a_running_machine_is_not_launched_again(
    bench: Bench, open_link: socket.socket
) -> None:
    with await bench.launch("one", TALKING) as link:
        await first_frame(link)
        vmm = vmm_processes(bench, "one")[0]
        again = await bench.machine("again", TALKING)
        with pytest.raises(VmmError, match="already runs"):
            await bench.driver().launch(replace(again, name="one"), (open_link.fileno(),) * 2)
        assert vmm in vmm_processes(bench, "one")


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
