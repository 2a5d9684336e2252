"""Named namespaces together with those of ``ip netns``, on a host that had none."""

import sys

import pytest

from monopod.util import process

pytestmark = pytest.mark.kernel

_BESIDE_IP = """
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
    await process.run(*unshared, "sh", "-c", fresh, sys.executable, _BESIDE_IP)
