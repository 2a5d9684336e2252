"""The lifecycle of a cluster: start, and complete removal."""

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from monopod.build import components
from monopod.build.components import Components
from monopod.controlplane import home as cluster_home
from monopod.controlplane import leftovers, machine_storage, preflight, state
from monopod.controlplane.control_plane import ControlPlane
from monopod.controlplane.errors import ClusterError, HostUnfitError
from monopod.controlplane.layout import Layout
from monopod.identity.store import IdentityStore
from monopod.node import guest
from monopod.node.guest import image_gc
from monopod.node.net import connection_limit
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.host import Host
from monopod.node.net.namespaces import Namespace
from monopod.node.net.topology import Topology, reserve
from monopod.node.provider import cordon
from monopod.node.provider.host_capacity import this_host
from monopod.node.provider.settings import LocalSettings
from monopod.node.vmm import halt_poll, uml
from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.map_count import max_map_count
from monopod.settings import Settings
from monopod.util.cgroups import destroy_everywhere
from monopod.util.host_value import HostValue, HostValueError
from monopod.util.progress import Progress, Report, ignore

_DEATH_WITHIN_S: Final = 20.0
_MAP_COUNT: Final = "vm.max_map_count"
_HALT_POLL: Final = "haltpoll.guest_halt_poll_ns"
_CONNECTIONS: Final = "nf_conntrack_max"


async def up(
    settings: Settings,
    report: Report = ignore,
    *,
    machines: bool = True,
    refresh: bool = False,
) -> ControlPlane:
    """Start the cluster. Idempotent: what is up to date is left alone.

    Args:
        settings: The installation.
        report: Receives the progress of each step.
        machines: Whether to run machines; if not, their image is not built and pods stay pending.
        refresh: Whether to build their image from the newest packages of Debian's archive.

    Raises:
        HostUnfitError: This host lacks requirements.
        ClusterError: A process did not become ready.
        ComponentsError: Upstream's programs cannot be provided.
        GuestError: The guest image cannot be built.
        NetworkError: The host's network could not be set up.
        IdentityError: Certificates could not be written.
    """
    preflight.check(settings)
    home = cluster_home.claim(settings)
    with state.locked(home):
        known = state.load(home)
        programs = await components.provide(settings, report)
        image = (
            await _guest_image(settings, programs, report, refresh=refresh) if machines else None
        )
        transit = await reserve(
            Host(Namespace.own()), settings.instance, known.transit if known else None
        )
        now = state.State(
            transit=transit,
            components=str(programs.directory),
            guest_image=str(image.directory) if image else None,
            furnished=known.furnished if known else False,
            encryption_key=known.encryption_key if known else "",
        )
        state.save(home, now)
        if machines:
            local = LocalSettings()
            _raise_map_count(settings.instance, report)
            _raise_halt_poll(settings.instance, local.halt_poll_ns, report)
            await machine_storage.ensure(home, local.storage_gib, report)
        _end_shutdown(settings, report)
        plane = _plane(settings, now)
        await plane.start(report)
        if machines:
            # It exists once the host has rules that track connections.
            _raise_connections(settings.instance, report)
        return plane


def running(settings: Settings) -> ControlPlane:
    """Return the control plane that was started in this home.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: Its state cannot be read.
    """
    return _plane(settings, state.require(settings.home))


async def rotate_encryption_key(settings: Settings, report: Report = ignore) -> None:
    """Encrypt all Secrets under a new key. The API server restarts twice; a kill loses nothing.

    Raises:
        HostUnfitError: Not root.
        NoClusterError: There is no cluster in this home.
        ClusterError: A process did not become ready.
        IdentityError: The keys could not be read or written.
    """
    preflight.check_root()
    plane = running(settings)
    with state.locked(plane.layout.home):
        IdentityStore(plane.layout.identities).add_encryption_key()
        # The API server reads the new key first, then no longer has the old one.
        for _ in range(2):
            await plane.start(report)


async def down(settings: Settings, report: Report = ignore) -> list[str]:
    """Remove the cluster completely, from any state. Idempotent.

    Returns:
        What could not be removed, a line for each; empty on success.

    Raises:
        HostUnfitError: Not root.
        CgroupError: Processes did not end.
        ClusterError: The home is not this cluster's, or another monopod command holds the cluster's
            lock.
        NetworkError: The network could not be removed.
    """
    preflight.check_root()
    home = cluster_home.verify(settings)
    with state.locked(home) if home.exists() else nullcontext():
        layout = Layout(settings, ClusterNetwork(settings.instance, 0))
        report(Progress("processes", "killing all of them"))
        # The control plane's cgroup is in one hierarchy, the machines' may be in several.
        await destroy_everywhere(f"monopod-{settings.instance}", _DEATH_WITHIN_S)
        report(Progress("processes", "none left", 1, 1))
        report(Progress("network", "namespaces, links and rules"))
        await Topology(layout.network, Host(Namespace.own())).remove()
        report(Progress("network", "removed", 1, 1))
        _release_host_values(settings.instance, report)
        report(Progress("files", str(home)))
        await machine_storage.remove(home)
        kept = await asyncio.to_thread(cluster_home.remove, home)
        report(Progress("files", "removed; the cache is kept", 1, 1))
    return [*(f"{path}, which no cluster made" for path in kept), *await leftovers.find(layout)]


def _end_shutdown(settings: Settings, report: Report) -> None:
    """Lift the cordon of a shutdown; one that an administrator set stays."""
    path = cordon.path_of(settings)
    if (found := cordon.read(path)) is None:
        return
    if found.shutdown:
        cordon.lift(path)
    else:
        report(Progress("host", found.message, 1, 1))


def _raise_map_count(instance: str, report: Report) -> None:
    try:
        _raise(_MAP_COUNT, max_map_count(), instance, uml.largest_mappings(), report)
    except (VmmError, HostValueError) as error:
        raise HostUnfitError((str(error),)) from error


def _raise_halt_poll(instance: str, needed: int, report: Report) -> None:
    if not needed or not halt_poll.PARAMETER.exists():
        return
    try:
        _raise(_HALT_POLL, halt_poll.halt_poll(), instance, needed, report)
    except (VmmError, HostValueError) as error:
        # Machines are slower without it, and work.
        report(Progress("host", str(error), 1, 1))


def _raise_connections(instance: str, report: Report) -> None:
    needed = connection_limit.needed(this_host().memory_mib)
    try:
        _raise(_CONNECTIONS, connection_limit.connection_limit(), instance, needed, report)
    except HostValueError as error:
        raise ClusterError(str(error)) from error


def _raise(name: str, value: HostValue, instance: str, needed: int, report: Report) -> None:
    with value.locked() as users:
        before = users.add(instance, needed)
    detail = "is high enough" if before is None else f"raised from {before} to {needed}"
    report(Progress("host", f"{name} {detail}", 1, 1))


def _release_host_values(instance: str, report: Report) -> None:
    values = {
        _MAP_COUNT: max_map_count(),
        _CONNECTIONS: connection_limit.connection_limit(),
        _HALT_POLL: halt_poll.halt_poll(),
    }
    for name, value in values.items():
        try:
            with value.locked() as users:
                restored = users.remove(instance)
        except (VmmError, HostValueError) as error:
            raise ClusterError(str(error)) from error
        if restored is not None:
            report(Progress("host", f"{name} restored to {restored}", 1, 1))


async def _guest_image(
    settings: Settings, programs: Components, report: Report, *, refresh: bool
) -> guest.GuestImage:
    pause = await components.pause_source(settings, report)
    image = await guest.provide(settings.cache, programs.directory, pause, report, refresh=refresh)
    await asyncio.to_thread(image_gc.prune, image.directory)
    return image


def _plane(settings: Settings, known: state.State) -> ControlPlane:
    image = None if known.guest_image is None else Path(known.guest_image)
    layout = Layout.of(settings, known.transit)
    return ControlPlane(layout, Components(Path(known.components)), image)
