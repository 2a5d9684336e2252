"""What holds for a machine under any driver."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from uuid import uuid4

import pytest

from monopod.node.net.addresses import GATEWAY_MAC
from monopod.node.net.links import Links, machine_links
from monopod.node.net.namespaces import Namespace
from monopod.node.vmm.console import tail
from monopod.node.vmm.driver import Machine, VmmError
from monopod.node.vmm.gvisor import GvisorDriver
from monopod.node.vmm.qemu import QemuDriver
from monopod.node.vmm.qemu_command import Accelerator
from monopod.node.vmm.uml import UmlDriver
from monopod.node.vmm.watchdog import WatchdogTimeouts, statistics
from monopod.util import process
from tests.framework.eventually import eventually
from tests.net.lab import make_socket
from tests.vmm.conftest import POD_MAC, Bench, scripted
from tests.vmm.talking import vmm_processes

pytestmark = pytest.mark.kernel

_PROGRAMS = {"uml": "linux", "gvisor": "runsc", "qemu-tcg": "qemu-system-x86"}
_READY = "ready to be looked at"
_BOOT_S = 90
_POD = "192.168.9.9"


@dataclass
class Place:
    """A driver, and a router for its machines' links."""

    bench: Bench
    driver: UmlDriver | GvisorDriver | QemuDriver
    links: Links
    router: Namespace

    async def launch(self, machine: Machine) -> None:
        addresses = IPv4Address("100.64.9.9"), IPv4Address(_POD)
        with ExitStack() as stack:
            ends: list[int] = []
            for link in machine_links("mvm-one", *addresses, self.driver.link_kind):
                await self.links.ensure(link)
                ends.append(stack.enter_context(await self.links.open(link)).fileno())
            await self.driver.launch(machine, ends)

    async def run(self, script: str, milli_cpu: int = 250) -> Machine:
        machine = await self.bench.machine("one", scripted(script), milli_cpu=milli_cpu)
        await self.launch(machine)
        return machine

    def vmm(self) -> int:
        """The first of the machine's own program's processes."""
        return vmm_processes(self.bench, "one", _PROGRAMS[self.driver.name])[0]

    def adjustment(self) -> str:
        """How much sooner than others the kernel kills the VMM if memory runs out."""
        return Path(f"/proc/{self.vmm()}/oom_score_adj").read_text().strip()


@pytest.fixture(params=list(_PROGRAMS))
async def place(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async for made in _place(bench, request.param):
        yield made


@pytest.fixture(params=["gvisor", "qemu-tcg"])
async def tidy(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """Drivers that report a guest's end and a host's full disk; see ``tests/vmm/test_uml.py``."""
    async for made in _place(bench, request.param):
        yield made


@pytest.fixture
async def qemu(bench: Bench) -> AsyncIterator[Place]:
    async for made in _place(bench, "qemu-tcg"):
        yield made


async def _place(bench: Bench, kind: str) -> AsyncIterator[Place]:
    drivers = {"uml": bench.driver, "gvisor": bench.gvisor}
    driver = drivers[kind]() if kind in drivers else bench.qemu(Accelerator.TCG)
    await driver.prepare()
    name = f"monopod-test-{uuid4().hex[:6]}"
    router, ports = Namespace.named(f"{name}-router"), Namespace.named(f"{name}-ports")
    for each in (router, ports):
        each.create()
    try:
        async with Links(router, ports) as links:
            yield Place(bench, driver, links, router)
    finally:
        await driver.stop("one")
        for each in (router, ports):
            each.remove()


@pytest.mark.row("S1")
@pytest.mark.row("S5")
async def test_a_machine_has_its_size_and_is_gone_when_its_vmm_is_killed(place: Place) -> None:
    driver = place.driver
    milli_cpu = min(2000, driver.max_milli_cpu)
    machine = await place.run(
        f"""
        echo processors $(nproc)
        echo $(head -n 1 /proc/meminfo)
        ip link set vec0 up && echo link $(ip link show vec0)
        ip link set vec1 up 2>/dev/null && echo pod link $(ip link show vec1)
        echo links $(readlink /dev/fd /dev/stdin /dev/stdout /dev/stderr)
        echo shared $(awk '/ shared:/ {{ print $5 }}' /proc/self/mountinfo)
        (head -c 2000000000 /dev/zero | tail -c 1500000000 >/dev/null); echo hog $?
        echo {_READY}; sleep 600
        """,
        milli_cpu,
    )
    with pytest.raises(VmmError, match="already runs"):
        await driver.launch(machine, (0, 0))
    async with asyncio.timeout(_BOOT_S):
        await place.bench.printed("one", _READY)
    text = tail(place.bench.console_of("one"))
    assert f"processors {milli_cpu // 1000}" in text
    total_kib = int(text.split("MemTotal:")[1].split()[0])
    assert 512 * 1024 <= total_kib <= 512 * 1024 * 1.1
    assert f"link/ether {machine.mac_addresses[0]}" in text
    assert f"link/ether {machine.mac_addresses[1]}" in text
    assert "links /proc/self/fd /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2" in text
    shared = text.split("shared ")[1].splitlines()[0].split()
    # What the kubelet mounts there, containerd has to see; what it covers in /proc, no container.
    assert {"/", "/run", "/var"} <= set(shared)
    assert "/proc" not in shared
    # More than there is: the guest's kernel ends who wanted it, and the machine goes on.
    assert "hog 0" not in text
    driver.set_cpu_quota("one", milli_cpu)
    # The host kills machines before its control plane.
    assert place.adjustment() == "500"
    os.kill(place.vmm(), signal.SIGKILL)
    # As another process sees it, that knows nothing of the launch.
    assert (await driver.watch("one")).reason == "VmmKilled"
    assert place.bench.cgroups.processes("one") == []


_SANDBOXES = 3
_TAKES = f"""
    export CNI_COMMAND=ADD CNI_CONTAINERID=one CNI_IFNAME=eth0
    echo '{{"cniVersion": "1.0.0", "name": "pod", "type": "pod-link", "mac": "{POD_MAC}",
        "address": "{_POD}", "gateway": "192.168.9.1", "gatewayMAC": "{GATEWAY_MAC}"}}' >/run/pod
    for pod in $(seq {_SANDBOXES}); do
        ip netns add pod$pod
        # Counted for all namespaces together under gVisor.
        refused=$(ip netns exec pod$pod awk '/^Udp: [0-9]/ {{ print $3 }}' /proc/net/snmp)
        read -r before _ </proc/uptime
        CNI_NETNS=/run/netns/pod$pod /usr/local/libexec/cni/pod-link </run/pod && echo
        read -r after _ </proc/uptime
        echo "taken by $pod from $before to $after"
        # A datagram to a port that is closed has come in, and the error about it has gone out.
        until ip netns exec pod$pod awk '/^Udp: [0-9]/ {{ exit $3 == '$refused' }}' /proc/net/snmp
        do
            sleep 0.2
        done
        CNI_COMMAND=DEL CNI_NETNS=/run/netns/pod$pod /usr/local/libexec/cni/pod-link </run/pod
        ip netns delete pod$pod
        ip -o link | grep -q {POD_MAC} || exit
    done
    echo {_READY}; sleep 600
"""


@pytest.mark.row("S17")
async def test_each_new_sandbox_of_a_pod_takes_its_link(place: Place) -> None:
    await place.run(_TAKES)

    async def refused(caller: socket.socket) -> bool:
        try:
            caller.send(b"hello")
            async with asyncio.timeout(1):
                await asyncio.get_running_loop().sock_recv(caller, 1)
        except ConnectionRefusedError:
            return True
        except (OSError, TimeoutError):
            pass
        return False

    for pod in range(1, _SANDBOXES + 1):
        await place.bench.printed("one", f"taken by {pod}")
        # A sandbox ends after its first answer, so the socket that asked has to be there for it.
        with make_socket(place.router, socket.SOCK_DGRAM) as caller:
            caller.connect((_POD, 9))
            await eventually(partial(refused, caller), f"sandbox {pod} answers", 20)
    await place.bench.printed("one", _READY)


@pytest.mark.parametrize(
    ("script", "reason", "message"),
    [("echo c >/proc/sysrq-trigger; sleep 60", "GuestPanicked", "sysrq triggered crash")],
)
async def test_exits_are_classified(qemu: Place, script: str, reason: str, message: str) -> None:
    await qemu.run(script)
    async with asyncio.timeout(_BOOT_S):
        end = await qemu.driver.watch("one")
    assert (end.name, end.reason) == ("one", reason)
    assert message in end.message


async def test_a_hung_guest_is_killed(qemu: Place) -> None:
    assert isinstance(qemu.driver, QemuDriver)
    await qemu.run(f"echo {_READY}; sleep 600")
    await qemu.bench.printed("one", _READY)
    memory = await statistics(qemu.driver.monitor_of("one"))
    assert memory.total <= 600 << 20
    os.kill(qemu.vmm(), signal.SIGSTOP)
    async with asyncio.timeout(60):
        end = await replace(qemu.driver, patience=WatchdogTimeouts(every_s=1, silent_s=8)).watch(
            "one"
        )
    assert end.reason == "GuestHung"
    assert "no sign of life for 8 s" in end.message
    assert qemu.bench.cgroups.processes("one") == []


async def test_a_powered_off_guest_is_reported_as_such(tidy: Place) -> None:
    off = {
        "gvisor": "exec /run/driver/power-off",
        "qemu-tcg": "echo o >/proc/sysrq-trigger; while :; do :; done",
    }
    await tidy.run(off[tidy.driver.name])
    async with asyncio.timeout(_BOOT_S):
        end = await tidy.driver.watch("one")
    assert (end.reason, end.message) == ("GuestPoweredOff", "the guest shut itself down")


async def test_a_full_host_disk_is_a_guest_io_error_and_no_hang(tidy: Place) -> None:
    target = {"gvisor": "/var/file", "qemu-tcg": "/dev/vdb"}[tidy.driver.name]
    machine = await tidy.bench.machine(
        "one",
        scripted(
            f"dd if=/dev/zero of={target} bs=1M count=200 oflag=direct; echo wrote $?; "
            f"echo {_READY}; sleep 600"
        ),
    )
    small = machine.data_disk.parent / "small"
    small.mkdir()
    await process.run("mount", "-t", "tmpfs", "-o", "size=64m", "none", small)
    try:
        disk = small / "data.img"
        with disk.open("wb") as file:
            file.truncate(1 << 30)
        await tidy.launch(replace(machine, data_disk=disk))
        await tidy.bench.printed("one", _READY)
        assert "wrote 1" in tail(tidy.bench.console_of("one"))
        await tidy.driver.stop("one")
    finally:
        await process.run("umount", "-l", small)


_FILE_MIB = 128


async def test_what_a_guest_frees_goes_back_to_the_host(place: Place) -> None:
    """Of two files of the same size, the one that is kept shows that files take room."""
    machine = await place.run(
        f"""
        for file in removed kept; do
            dd if=/dev/zero of=/var/$file bs=1M count={_FILE_MIB} && sync && echo filled $file
        done
        rm /var/removed; sync
        echo {_READY}; sleep 600
        """
    )

    def taken_mib() -> int:
        return machine.data_disk.stat().st_blocks * 512 >> 20

    at_first = taken_mib()
    await place.bench.printed("one", _READY)
    assert "filled kept" in tail(place.bench.console_of("one"))

    def kept_alone() -> bool:
        assert _FILE_MIB <= taken_mib() - at_first < _FILE_MIB * 5 // 4
        return True

    await eventually(kept_alone, f"the host has {_FILE_MIB} MiB again", 30, every_s=0.1)


async def test_a_disk_has_the_provisioned_size_and_no_more(bench: Bench) -> None:
    async for place in _place(bench, "gvisor"):
        machine = await bench.machine(
            "one",
            scripted(
                "echo disk $(df -k /var | tail -n 1); dd if=/dev/zero of=/var/file bs=1M; "
                f"echo wrote $?; echo file $(stat -c %s /var/file); echo {_READY}; sleep 600"
            ),
        )
        os.truncate(machine.data_disk, 64 << 20)
        await place.launch(machine)
        await bench.printed("one", _READY)
        text = tail(bench.console_of("one"))
        assert "disk none 65536 " in text
        assert "wrote 1" in text
        # Without what the image keeps there from the start.
        assert 60 << 20 < int(text.split("file ")[-1].split()[0]) <= 64 << 20
        assert machine.data_disk.stat().st_blocks * 512 <= 65 << 20


async def test_signals_do_not_end_the_wait_of_who_opens_a_fifo(
    bench: Bench, tmp_path: Path
) -> None:
    """Containers wait so for their start. Linux does it by itself, gVisor since it is changed."""
    program = tmp_path / "interrupted"
    source = Path(__file__).with_name("interrupted.c")
    await process.run("gcc", "-static", "-O1", "-o", program, source)
    async for place in _place(bench, "gvisor"):
        script = f"install /run/config/interrupted /run; /run/interrupted; echo {_READY}; sleep 600"
        binary = await asyncio.to_thread(program.read_bytes)
        await place.launch(await bench.machine("one", {**scripted(script), "interrupted": binary}))
        await bench.printed("one", _READY)
        text = tail(bench.console_of("one"))
        assert text.count("opened after signals") == 2, text


async def test_gvisor_has_sixteen_processors_and_none_more(bench: Bench) -> None:
    async for place in _place(bench, "gvisor"):
        await place.run(f"echo processors $(nproc); echo {_READY}; sleep 600", 16_000)
        await bench.printed("one", _READY)
        assert "processors 16" in tail(bench.console_of("one"))
        larger = await bench.machine("two", scripted(""), milli_cpu=17_000)
        with pytest.raises(VmmError, match="supports at most 16000m per machine"):
            await place.driver.launch(larger, ())


async def test_gvisor_kills_a_process_that_exceeds_its_cgroups_limit_for_a_moment(
    bench: Bench,
) -> None:
    """Ten times each: reads of more than the limit in one call, and of less."""
    async for place in _place(bench, "gvisor"):
        await place.run(
            f"""
            group=/sys/fs/cgroup/kubepods/one
            echo +memory >/sys/fs/cgroup/cgroup.subtree_control
            mkdir -p $group
            echo +memory >/sys/fs/cgroup/kubepods/cgroup.subtree_control
            echo 33554432 >$group/memory.max
            for mib in 256 256 256 256 256 256 256 256 256 256 16 16 16 16 16 16 16 16 16 16; do
                sh -c 'echo $$ >'$group'/cgroup.procs; exec dd if=/dev/zero of=/dev/null count=1 \
                    bs='$mib'M' 2>/dev/null
                echo "$mib MiB: $?"
            done
            echo {_READY}; sleep 600
            """
        )
        await bench.printed("one", _READY)
        text = tail(bench.console_of("one"))
        assert text.count("256 MiB: 137") == 10, text
        assert text.count(" 16 MiB: 0") == 10, text
