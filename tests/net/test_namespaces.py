"""Named namespaces together with those of ``ip netns``, on a host that had none."""

import asyncio
import sys
from pathlib import Path

import pytest
from pyroute2 import AsyncIPRoute

from monopod.node.net.namespaces import Namespace
from monopod.util import process

pytestmark = pytest.mark.kernel

_NEXT_TO_IP = """
import subprocess
from monopod.node.net.namespaces import Namespace
ours = Namespace.named("ours")
ours.create()
subprocess.run(["ip", "netns", "add", "theirs"], check=True)
ours.create()
assert subprocess.check_output(["ip", "-netns", "ours", "-brief", "link"])
ours.remove()
subprocess.run(["ip", "netns", "delete", "theirs"], check=True)
assert not list(ours.path.parent.iterdir())
assert "netns/ours" not in open("/proc/self/mounts").read()
"""


async def test_namespaces_are_removable_after_a_later_ip_netns_add() -> None:
    fresh = 'mount -t tmpfs none /run && exec "$0" -c "$1"'
    unshared = ("unshare", "--mount", "--propagation", "private")
    await process.run(*unshared, "sh", "-c", fresh, sys.executable, _NEXT_TO_IP)


async def test_a_cancelled_opening_of_a_socket_leaves_none_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opening = asyncio.Event()
    opened: list[AsyncIPRoute] = []

    async def bind(netlink: AsyncIPRoute) -> None:
        opened.append(netlink)
        assert netlink.fileno() >= 0
        opening.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(AsyncIPRoute, "bind", bind)
    working = asyncio.ensure_future(Namespace(Path("/proc/self/ns/net")).netlink())
    await opening.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert opened[0].fileno() == -1
