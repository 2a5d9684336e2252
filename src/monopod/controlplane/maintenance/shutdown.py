"""Shuts a cluster down without losing its state: pods end with grace, the control plane last."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from monopod.controlplane import home as cluster_home
from monopod.controlplane import preflight, state
from monopod.controlplane.control_plane import supervisor
from monopod.controlplane.layout import Layout
from monopod.controlplane.maintenance.drain import Drain, DrainTimeoutError, Say
from monopod.controlplane.maintenance.settings import HostSettings
from monopod.controlplane.maintenance.state import Options
from monopod.kube import KubeError, connect
from monopod.node.provider import cordon
from monopod.node.provider.cordon import Cordon
from monopod.node.provider.directory import directories
from monopod.settings import Settings
from monopod.util.cgroups import Cgroup, Hierarchies, destroy_everywhere
from monopod.util.progress import Progress, Report

_USER_AGENT: Final = "monopod-host"
_DEATH_WITHIN_S: Final = 20.0
_SILENCE_S: Final = 15.0
_ALL: Final = 1_000_000


async def shutdown(settings: Settings, own: HostSettings, report: Report, say: Say) -> None:
    """End all pods with their grace periods, then machines, then the control plane. Idempotent.

    All of the cluster's state is kept: ``up`` starts it again, and then machines start again.

    Raises:
        HostUnfitError: Not root.
        NoClusterError: There is no cluster in this home.
        ClusterError: The home is not this cluster's, or another monopod command holds its lock.
        CgroupError: Processes did not end.
    """
    preflight.check_root()
    home = cluster_home.verify(settings)
    known = state.require(home)
    with state.locked(home):
        path = cordon.path_of(settings)
        if cordon.read(path) is None:
            cordon.write(path, Cordon(datetime.now(UTC), shutdown=True))
        layout = Layout.of(settings, known.transit)
        processes = supervisor(layout)
        if processes.running():
            await end_pods(layout, own, report, say)
        else:
            say("pods are stopped without grace: the control plane does not run")
        await _stop_machines(settings, report)
        report(Progress("control plane", "stopping"))
        await processes.stop()
        await destroy_everywhere(f"monopod-{settings.instance}", _DEATH_WITHIN_S)
        report(Progress("control plane", "stopped; its state is kept", 1, 1))


async def _stop_machines(settings: Settings, report: Report) -> None:
    """Kill what is left of machines, while the controllers run that record it."""
    tracking = Hierarchies.of_this_host().tracking
    names = [each.path.name for each in directories(settings.machines)]
    report(Progress("machines", f"{len(names)} are left"))
    with suppress(TimeoutError):
        async with asyncio.timeout(_DEATH_WITHIN_S):
            for name in names:
                await Cgroup(tracking, f"monopod-{settings.instance}/{name}").kill()
    report(Progress("machines", "stopped", 1, 1))


async def end_pods(layout: Layout, own: HostSettings, report: Report, say: Say) -> None:
    """End all pods with their grace periods, as far as the time for it allows.

    Disruption budgets are asked, and do not hold up a shutdown. What prevents a graceful end is
    shown, and is no error: the host goes down all the same.
    """
    within = timedelta(seconds=own.shutdown_s)
    options = Options(
        at_once=_ALL,
        force_after=timedelta(),
        finished=False,
        deadline=datetime.now(UTC) + within,
        system_time=min(timedelta(seconds=own.shutdown_system_s), within / 2),
    )
    began = time.monotonic()
    try:
        async with connect(layout.admin_kubeconfig, _USER_AGENT) as client:
            drain = Drain(client, layout.settings.machines, options, report, say, _SILENCE_S)
            await drain.run(own.shutdown_s)
    except (DrainTimeoutError, KubeError) as error:
        took = time.monotonic() - began
        say(f"pods are stopped without grace, {took:.0f} s after the begin: {error}")
