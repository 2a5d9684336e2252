"""``python -m monopod.node.launcher.network``: makes the router, hands over the machine's links.

It has CAP_NET_ADMIN and CAP_NET_RAW in the pod's namespaces. It runs before any code of the guest
does, and becomes a program that only waits once the machine has its links.
"""

import asyncio
import errno
import json
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from monopod.node.launcher import plan, router
from monopod.node.launcher.interfaces import (
    FORWARDING,
    SEND_REDIRECTS,
    SRC_VALID_MARK,
    configure,
)
from monopod.node.launcher.plan import LINKS, PROGRAMS, TUN_DEVICE, LauncherError, LauncherPlan
from monopod.node.launcher.router import MACHINE_ENDS, MANAGEMENT, POD, Uplink
from monopod.node.net import nft
from monopod.node.net.offload import transmit_checksums_in_software
from monopod.node.net.packet_socket import bind, open_packet_socket
from monopod.node.net.tap import attach_tap, keep_tap
from monopod.node.vmm.driver import LinkKind
from monopod.util import process

_WAITING: Final = PROGRAMS / "pause"
_READY: Final = b"links"


async def make_router(known: LauncherPlan) -> None:
    """Make this network namespace the machine's router.

    Raises:
        LauncherError: The pod's address is on no interface, or the kernel refused.
    """
    try:
        listed = await process.run("ip", "-json", "-4", "address", "show")
        uplink = find_uplink(json.loads(listed), known)
        await _nft(router.rules(known, uplink))
        await _close()
        if await _table_local_is_first():
            await process.run("ip", "-batch", "-", stdin=router.links(known, uplink).encode())
    except process.ProcessError as error:
        raise LauncherError(f"the machine's router cannot be made: {error}") from error
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for name in (MANAGEMENT, POD):
            transmit_checksums_in_software(control, name)
    # Last: before, no packet passes that the rules do not see.
    for name in (uplink.name, MANAGEMENT, POD):
        configure(name, {FORWARDING: 1, SEND_REDIRECTS: 0, SRC_VALID_MARK: 1})


async def _table_local_is_first() -> bool:
    """Return whether the links are still to be made: their last rule moves this table."""
    listed = json.loads(await process.run("ip", "-json", "-4", "rule", "show"))
    return any(rule["priority"] == 0 for rule in listed)


async def _close() -> None:
    """Let nothing of the pod pass, unless its policies have been written already, by an exec."""
    try:
        await _nft(router.closed())
    except process.ProcessError:
        await process.run("nft", "list", "table", nft.INET, router.POLICIES)


async def _nft(commands: Sequence[nft.Json]) -> None:
    await process.run("nft", "-j", "-f", "-", stdin=json.dumps({"nftables": commands}).encode())


def find_uplink(interfaces: list[dict[str, Any]], known: LauncherPlan) -> Uplink:
    """Return the interface that has the pod's address, from the output of ``ip -json address``.

    Raises:
        LauncherError: None has it.
    """
    wanted = str(known.pod_address)
    for interface in interfaces:
        if any(each.get("local") == wanted for each in interface.get("addr_info", ())):
            return Uplink(str(interface["ifname"]), known.pod_address)
    raise LauncherError(f"no interface has the pod's address {wanted}")


def hand_over(listening: socket.socket, ends: Sequence[int]) -> None:
    """Give the machine's ends of its links to the container that asks first.

    Raises:
        OSError: They cannot be sent.
    """
    with listening.accept()[0] as client:
        socket.send_fds(client, [_READY], ends)


def _open(name: str) -> socket.socket:
    end = open_packet_socket()
    try:
        bind(end, name)
    except BaseException:
        end.close()
        raise
    return end


def _run(known: LauncherPlan) -> None:
    """Make the router, and wait until container ``machine`` has the links.

    Raises:
        LauncherError: The router cannot be made.
        OSError: The links cannot be made or handed over.
    """
    with ExitStack() as stack:
        if known.link_kind is LinkKind.TAP:
            ends = _taps(stack)
            asyncio.run(make_router(known))
        else:
            asyncio.run(make_router(known))
            ends = [stack.enter_context(_open(name)).fileno() for name in MACHINE_ENDS]
        if not ends:
            return
        listening = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        LINKS.unlink(missing_ok=True)
        listening.bind(str(LINKS))
        LINKS.chmod(0o666)
        listening.listen(1)
        hand_over(listening, ends)
    LINKS.unlink()


def _taps(stack: ExitStack) -> Sequence[int]:
    """Make tap devices as the router's ends; returns nothing if the machine has them already."""
    ends: list[int] = []
    for name in (MANAGEMENT, POD):
        try:
            device = stack.enter_context(attach_tap(name, TUN_DEVICE))
        except OSError as error:
            if error.errno == errno.EBUSY:
                return ()
            raise
        keep_tap(device)
        ends.append(device.fileno())
    return ends


def main() -> int:
    """Make the router, hand over the links, then wait for the end of the pod."""
    try:
        _run(plan.read(os.environ))
    except (LauncherError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    # No interpreter stays in memory, and no capability is in use any more.
    os.execv(_WAITING, [str(_WAITING)])  # noqa: S606 - the list is whole


if __name__ == "__main__":
    sys.exit(main())
