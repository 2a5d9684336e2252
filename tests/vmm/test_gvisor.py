"""The gVisor driver, as far as it needs no sandbox: command, specification, network, control."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.fargate.sizing import TABLE, Size
from monopod.node.guest.configuration import pids_limit
from monopod.node.vmm import gvisor, qemu, urpc
from monopod.node.vmm.console import classify_exit
from monopod.node.vmm.disks import Disks
from monopod.node.vmm.driver import Machine
from monopod.node.vmm.gvisor_command import Descriptors, sandbox_argv, specification
from monopod.node.vmm.gvisor_network import network_arguments

pytestmark = pytest.mark.unit

_WIRES = Descriptors(Disks(7, 8, 9), 10, 11, (12, 13))
_MACHINE = Machine(
    name="mvm-one",
    uid=1_000_000_007,
    size=Size(250, 512),
    root_image=Path("/root.img"),
    data_disk=Path("/data.img"),
    config_disk=Path("/config.tar"),
    mac_addresses=("02:6d:64:40:00:07", "02:6d:c0:a8:00:07"),
    console_directory=Path("/console"),
)
_PANIC = """\
2026-11-29 19:59:50.955958284  panic: unable to get current scheduling priority
2026-11-29 19:59:50.956122421  goroutine 1 gp=0x3e9bbf2b21e0 m=2 mp=0x3e9bbf308808 [running]:
2026-11-29 19:59:50.957160150  \tgvisor.dev/gvisor@v0.0.0/pkg/sentry/systrap/subprocess.go:1061
"""


def test_disks_and_control_are_descriptors_and_not_paths() -> None:
    argv = sandbox_argv(2, 512 << 20, _WIRES)
    assert {
        "--io-fds=7",
        "--gofer-filestore-fds=8",
        "--pass-fd=9:3",
        "--spec-fd=10",
        "--controller-fd=11",
        "--start-sync-fd=12",
    } <= set(argv)
    assert set(_WIRES.all) == set(range(7, 14))
    assert {"--cpu-num=2", f"--total-memory={512 << 20}"} <= set(argv)


def test_standard_error_stays_for_the_sandbox_itself() -> None:
    argv = sandbox_argv(1, 512 << 20, _WIRES)
    assert [each for each in argv if each.startswith("--stdio-fds")] == [
        "--stdio-fds=0",
        "--stdio-fds=1",
        "--stdio-fds=13",
    ]


def test_nothing_of_the_host_is_mounted() -> None:
    found = specification(20 << 30)
    assert found["root"]["readonly"]
    (bound,) = (each for each in found["mounts"] if each["type"] == "bind")
    # The driver passes no gofer for it, so it becomes the sandbox's own file system.
    assert "--gofer-mount-confs=erofs:none,none:anon" in sandbox_argv(1, 1, _WIRES)
    assert bound["destination"] == "/var"
    assert f"size={20 << 30}" in bound["options"]


def test_each_link_has_its_address_and_the_size_of_its_packets() -> None:
    links = network_arguments(_MACHINE)["FDBasedLinks"]
    found = [(link["Name"], link["LinkAddress"], link["MTU"]) for link in links]
    assert found == [("vec0", "Am1kQAAH", 9001), ("vec1", "Am3AqAAH", 9001)]


@pytest.mark.parametrize(("milli_cpu", "vcpus"), [(250, 1), (1000, 1), (2000, 2), (16_000, 16)])
def test_processors_are_whole(milli_cpu: int, vcpus: int) -> None:
    assert gvisor.processors(milli_cpu) == vcpus == qemu.processors(milli_cpu)


@given(size=st.sampled_from(TABLE))
def test_a_pod_meets_its_own_process_limit_before_the_vmm_meets_its(size: Size) -> None:
    allowed = pids_limit(size)
    assert gvisor.processes(size) - 2 * allowed >= 1024
    assert gvisor.overhead_mib(size) >= 0.36 * allowed + 192


def test_a_panic_of_the_sandbox_is_a_guest_panic() -> None:
    end = classify_exit("mvm-one", _PANIC)
    assert end.reason == "GuestPanicked"
    assert end.message == "panic: unable to get current scheduling priority"


def test_a_panic_of_a_guests_program_is_none() -> None:
    text = "panic: no such node\ngoroutine 1 [running]:\nk8s.io/kubernetes/cmd/kubelet.go:1\n"
    assert classify_exit("mvm-one", text).reason == "VmmKilled"


@pytest.fixture
async def control() -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    """A client, and the sandbox's end of its connection."""
    listening, client = urpc.connected()
    with listening, client:
        server, _ = listening.accept()
        server.setblocking(False)
        with server:
            yield client, server


async def test_a_call_passes_argument_and_descriptor(
    control: tuple[socket.socket, socket.socket],
) -> None:
    client, server = control
    read_end, write_end = os.pipe()
    called = asyncio.create_task(urpc.call(client, "it.Does", {"x": 1}, [write_end]))
    await asyncio.sleep(0)
    request, descriptors, _, _ = socket.recv_fds(server, 4096, 4)
    assert json.loads(request) == {"method": "it.Does", "arg": {"x": 1}}
    os.write(descriptors[0], b"here")
    assert os.read(read_end, 4) == b"here"
    # In parts, as a stream may deliver it.
    server.send(b'{"success": tr')
    await asyncio.sleep(0)
    server.send(b'ue, "err": "", "result": {}}')
    await called
    for each in (read_end, write_end, *descriptors):
        os.close(each)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b'{"success": false, "err": "no such file"}', "it.Does failed: no such file"),
        (b"[1]", "it.Does got an invalid answer"),
        (b"", "the sandbox ended before it answered it.Does"),
    ],
)
async def test_a_refusal_is_named(
    control: tuple[socket.socket, socket.socket], answer: bytes, error: str
) -> None:
    client, server = control
    server.send(answer)
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(urpc.UrpcError, match=error):
        await urpc.call(client, "it.Does", None)


def test_the_control_socket_has_no_name() -> None:
    listening, client = urpc.connected()
    with listening, client:
        assert not Path(listening.getsockname()).exists()
