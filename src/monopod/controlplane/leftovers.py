"""Finds what is left of a cluster on this host, by inspecting the host instead of saved state."""

import contextlib
from pathlib import Path
from typing import Final

from monopod.controlplane.layout import Layout
from monopod.node.net.namespaces import Namespace
from monopod.util.cgroups import Hierarchies
from monopod.util.mounts import mounts
from monopod.util.process import ProcessError, run

_PROC: Final = Path("/proc")


async def find(layout: Layout) -> list[str]:
    """Return a line for each process, cgroup, namespace, link, rule, mount and file left."""
    network = layout.network
    found = [f"file {layout.home}"] if layout.home.exists() else []
    found += [
        f"network namespace {name}"
        for name in (
            network.control_name,
            network.router_name,
            network.balancers_name,
            network.pulls_name,
            network.ports_name,
        )
        if Namespace.named(name).path.exists()
    ]
    if network.host_link in Namespace.own().interfaces():
        found.append(f"link {network.host_link}")
    if await _has_table(network.host_table):
        found.append(f"nftables table {network.host_table}")
    found += _cgroups(f"monopod-{network.instance}")
    found += _mounts(layout.home)
    found += _processes(layout.home)
    return found


async def _has_table(name: str) -> bool:
    try:
        await run("nft", "list", "table", "inet", name)
    except ProcessError:
        return False
    return True


def _cgroups(name: str) -> list[str]:
    groups = [root / name for root in Hierarchies.of_this_host().roots]
    return [f"cgroup {group}" for group in groups if group.exists()]


def _mounts(home: Path) -> list[str]:
    return [f"mount {each.point}" for each in mounts() if each.point.is_relative_to(home)]


def _processes(home: Path) -> list[str]:
    """Return the processes, in any cgroup, whose command line has a path of the cluster."""
    needle = f"{home}/".encode()
    found: list[str] = []
    for entry in _PROC.iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and needle in (entry / "cmdline").read_bytes():
                found.append(f"process {entry.name}")
    return found
