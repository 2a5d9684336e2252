"""``python -m monopod.node.launcher.machine``: runs the machine of a launcher pod until it ends.

The container is the jail: its own user, no capability, a read-only root, its own process and mount
namespaces. The container's termination message is how the machine ended.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from monopod.fargate.sizing import Size
from monopod.node.launcher import plan, template, vmm
from monopod.node.launcher.plan import (
    CONFIGURATION,
    DISKS,
    LINKS,
    TEMPLATE,
    LauncherError,
    LauncherPlan,
    MachinePlan,
)
from monopod.node.net.addresses import guest_mac
from monopod.node.vmm.driver import Machine, MachineExit, VmmError

_TERMINATION_LOG: Final = Path("/dev/termination-log")
_LINKS_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.02
_KILLED: Final = "the launcher was asked to stop"


def machine_of(known: LauncherPlan) -> Machine:
    """Return the machine as its VMM sees it."""
    machine = known.machine
    addresses = machine.management_address, known.pod_address
    return Machine(
        name=machine.name,
        uid=os.getuid(),
        size=Size(machine.milli_cpu, machine.memory_mib),
        root_image=vmm.root_image(machine.driver),
        data_disk=DISKS / "data.img",
        config_disk=CONFIGURATION,
        mac_addresses=tuple(map(guest_mac, addresses)),
        console_directory=DISKS,
    )


async def run(known: LauncherPlan) -> MachineExit:
    """Run the machine to its end.

    Raises:
        LauncherError: It cannot be started.
        VmmError: The VMM refused.
    """
    machine = machine_of(known)
    links = await _take_links()
    try:
        await _make_data_disk(machine.data_disk, known.machine)
        await _configured()
        return await vmm.run(known.machine.driver, machine, links)
    finally:
        for each in links:
            os.close(each)


async def _take_links() -> Sequence[int]:
    """Take the machine's ends of its links from container ``network``.

    Raises:
        LauncherError: It did not hand them over in time.
    """
    deadline = time.monotonic() + _LINKS_WITHIN_S
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(FileNotFoundError, ConnectionRefusedError),
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client,
        ):
            client.connect(str(LINKS))
            client.settimeout(_LINKS_WITHIN_S)
            _, descriptors, *_ = socket.recv_fds(client, 64, 2)
            if len(descriptors) == 2:
                return descriptors
        await asyncio.sleep(_POLL_S)
    raise LauncherError("container network handed no links over")


async def _make_data_disk(path: Path, wanted: MachinePlan) -> None:
    if TEMPLATE.exists():
        await template.unpack(TEMPLATE, path, wanted.storage_gib)
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(descriptor, wanted.storage_gib << 30)
    finally:
        os.close(descriptor)


async def _configured() -> None:
    """Wait for the configuration disk, which appears complete."""
    # An exec writes it, from another process.
    while not CONFIGURATION.exists():  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)


async def _until_stopped(known: LauncherPlan) -> MachineExit:
    work = asyncio.ensure_future(run(known))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        return MachineExit(known.machine.name, "Stopped", _KILLED)


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Run the machine and write how it ended as the container's termination message."""
    try:
        known = plan.read(environment)
        ended = asyncio.run(_until_stopped(known))
    except (LauncherError, VmmError, OSError) as error:
        ended = MachineExit("", "LaunchFailed", str(error))
    print(f"{ended.reason}: {ended.message}", flush=True)
    _TERMINATION_LOG.write_text(json.dumps({"reason": ended.reason, "message": ended.message}))
    return 1


if __name__ == "__main__":
    sys.exit(main())
