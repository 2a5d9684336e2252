"""The control plane as a whole: its start and its status, in idempotent steps."""

import asyncio
import datetime as dt
import os
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from monopod.api import crds
from monopod.build.components import Components
from monopod.build.images import stored
from monopod.controllers.patch.settings import PatchSettings
from monopod.controlplane import (
    code,
    debian_services,
    manifests,
    metrics_targets,
    monopod_services,
    objects,
    secret_encryption,
    state,
    stored_versions,
    upstream_services,
)
from monopod.controlplane.certificates.settings import CertificateSettings
from monopod.controlplane.errors import ClusterError
from monopod.controlplane.health import Prober, listens, prober
from monopod.controlplane.identities import identities
from monopod.controlplane.layout import Layout, User
from monopod.controlplane.service import Service
from monopod.controlplane.service_groups import ServiceGroups, limits
from monopod.controlplane.settings import ControlPlaneSettings
from monopod.controlplane.supervision import State, Supervisor
from monopod.identity.store import IdentityStore
from monopod.kube import Client, KubeError, connect
from monopod.node.net.addresses import CLUSTER_DNS
from monopod.node.net.host import Host
from monopod.node.net.namespaces import Namespace
from monopod.node.net.topology import Topology
from monopod.util.cgroups import Hierarchies
from monopod.util.files import write_atomically
from monopod.util.progress import Progress, Report, ignore
from monopod.webhooks.manifests import admission_manifests

_READY_WITHIN_S: Final = 90.0
_POLL_S: Final = 0.05
_LINES_SHOWN: Final = 5
_USER_AGENT: Final = "monopod-cluster"


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """The current status of one process of the control plane."""

    name: str
    state: State | None
    """What its supervisor reports; None means that it has none."""
    healthy: bool
    """Whether its health probe succeeded, or it notified that it is ready."""


@dataclass(frozen=True, slots=True)
class _Probes:
    """Open clients for health checks."""

    client: Client
    by_namespace: Mapping[str, Prober]
    """By the network namespace that they probe."""


class ControlPlane:
    """The processes of one cluster, their identities, and the objects they start with."""

    def __init__(self, layout: Layout, components: Components, guest_image: Path | None) -> None:
        """Describe a control plane; changes nothing yet.

        Args:
            layout: Its layout.
            components: Upstream's programs.
            guest_image: Directory of the image that machines run; None means no machines.
        """
        self.layout = layout
        self._first = (
            *upstream_services.services(layout, components),
            *debian_services.services(layout),
        )
        # These have no permissions before the RBAC objects are applied.
        self._then = (
            upstream_services.coredns(layout, components),
            *monopod_services.services(layout, guest_image),
        )
        self._supervisor = supervisor(layout)

    @property
    def services(self) -> tuple[Service, ...]:
        """All services."""
        return (*self._first, *self._then)

    async def start(self, report: Report = ignore) -> None:
        """Start everything; services that run already and have not changed are left alone.

        Raises:
            ClusterError: A service was not ready in time; the message ends with the end of its log.
            NetworkError: The host's network could not be set up.
            IdentityError: The certificates could not be written.
        """
        layout = self.layout
        report(Progress("network", "namespaces, links and rules"))
        await Topology(layout.network, Host(Namespace.own())).create()
        report(Progress("network", str(layout.network.transit_network), 1, 1))

        report(Progress("identities", "certificates and keys"))
        # Before their replacements start, which listen on the same ports.
        await self._supervisor.prune({service.name for service in self.services})
        wanted = identities(layout)
        store = IdentityStore(layout.identities, CertificateSettings().lifetime)
        store.prune({identity.directory for identity in wanted})
        renewed = store.fill(wanted, dt.datetime.now(dt.UTC))
        self._make_directories()
        report(Progress("identities", f"{len(renewed)} renewed" if renewed else "up to date", 1, 1))

        await code.compile_code()
        await self._supervisor.apply(self._first, renewed)
        async with self._open_probes() as probes:
            await self._wait_for(self._first, probes, "control plane", report)
            await self._apply_objects(probes.client, report)
            await secret_encryption.renew(probes.client, layout.home, store)
            await self._supervisor.apply(self._then, renewed)
            await self._wait_for(self._then, probes, "DNS and Monopod", report)
            await self._apply_first_objects(probes.client)

    async def status(self) -> list[ComponentStatus]:
        """Return the status of every process, from its health probe and its supervisor."""
        async with self._open_probes() as probes:
            return list(
                await asyncio.gather(
                    *(self._status_of(service, probes) for service in self.services)
                )
            )

    def admin(self) -> AbstractAsyncContextManager[Client]:
        """Open a client with the administrator's rights."""
        return connect(self.layout.admin_kubeconfig, _USER_AGENT)

    def _make_directories(self) -> None:
        """Create a directory for each process with state, which only that process can enter."""
        layout = self.layout
        layout.images.mkdir(mode=0o711, exist_ok=True)
        for path, user in (
            (layout.database, User.ETCD),
            (layout.audit_log.parent, User.API_SERVER),
            (layout.image_data, User.REGISTRY),
            (layout.push_socket.parent, User.REGISTRY),
            (layout.sink_token.parent, User.PATCH),
        ):
            path.mkdir(mode=0o700, exist_ok=True)
            os.chown(path, layout.uid(user), layout.uid(user))
        # Only the MicroVM controller, which is root, writes there; the pull proxy reads.
        pulls = layout.settings.pulls
        pulls.mkdir(mode=0o700, exist_ok=True)
        os.chown(pulls, 0, layout.uid(User.PULLPROXY))
        pulls.chmod(0o750)
        self._copy_sink_token()
        stored.make(layout.image_data, layout.uid(User.REGISTRY))
        layout.balancers.mkdir(mode=0o711, exist_ok=True)
        controller, haproxy = layout.uid(User.LOADBALANCER), layout.uid(User.BALANCERS)
        for path, owner, group in (
            (layout.balancer_configuration, controller, haproxy),
            (layout.balancer_socket.parent, haproxy, controller),
        ):
            path.mkdir(mode=0o700, exist_ok=True)
            os.chown(path, owner, group)
            # Setgid: files that the owner creates belong to the group, which the owner is not in.
            path.chmod(0o2750)

    def _copy_sink_token(self) -> None:
        """Copy the token for the sink of notices, as the patch controller's user can read it.

        Raises:
            ClusterError: The token cannot be read.
        """
        path, source = self.layout.sink_token, PatchSettings().sink_token_file
        if source is None:
            path.unlink(missing_ok=True)
            return
        try:
            token = source.read_bytes()
        except OSError as error:
            raise ClusterError(
                f"MONOPOD_PATCH_SINK_TOKEN_FILE: {source} cannot be read: {error.strerror}"
            ) from error
        write_atomically(path, token, mode=0o400, owner=self.layout.uid(User.PATCH))

    async def _apply_objects(self, client: Client, report: Report) -> None:
        report(Progress("objects", "definitions, rules, policies, DNS"))
        values = {
            "dns": str(CLUSTER_DNS),
            "resolver": str(self.layout.network.resolver),
            "region": self.layout.settings.region,
        }
        authority = (self.layout.identity("admin") / "ca.crt").read_bytes()
        every = [
            *crds.manifests(),
            *manifests.read("rbac"),
            *manifests.read("dns", values),
            *manifests.read("loadbalancer"),
            *metrics_targets.objects(self.layout.network),
            *manifests.read("fairness", {"processors": str(len(os.sched_getaffinity(0)))}),
            *admission_manifests(authority, level=self.layout.settings.pod_security_level),
        ]
        await objects.apply(client, every)
        await objects.provide(client, manifests.read("groups"))
        await objects.remove(client, manifests.read("removed"))
        await stored_versions.migrate(client, crds.manifests())
        report(Progress("objects", f"{len(every)} applied", 1, 1))

    async def _apply_first_objects(self, client: Client) -> None:
        """Apply a new cluster's first objects, once; admission must be ready."""
        known = state.load(self.layout.home)
        if known is None or known.furnished:
            return
        values = {"region": self.layout.settings.region}
        first = manifests.read("first", values)
        # Objects of one call are applied concurrently, and subnets need their VPC.
        for wave in (True, False):
            await objects.apply(client, [each for each in first if (each["kind"] == "Vpc") == wave])
        state.save(self.layout.home, msgspec.structs.replace(known, furnished=True))

    @asynccontextmanager
    async def _open_probes(self) -> AsyncGenerator[_Probes]:
        network = self.layout.network
        async with (
            prober(network.control_name) as control,
            prober(network.router_name) as router,
            self.admin() as client,
        ):
            yield _Probes(client, {network.control_name: control, network.router_name: router})

    async def _wait_for(
        self,
        services: Sequence[Service],
        probes: _Probes,
        task: str,
        report: Report,
    ) -> None:
        waiting = list(services)
        total = len(waiting)
        deadline = time.monotonic() + _READY_WITHIN_S
        while waiting:
            answers = await asyncio.gather(
                *(self._is_healthy(service, probes) for service in waiting)
            )
            waiting = [service for service, ok in zip(waiting, answers, strict=True) if not ok]
            names = ", ".join(service.name for service in waiting)
            detail = f"waiting for {names}" if names else f"{total} processes ready"
            report(Progress(task, detail, total - len(waiting), total))
            if waiting and time.monotonic() > deadline:
                raise self._not_ready(waiting[0])
            if waiting:
                await asyncio.sleep(_POLL_S)

    async def _status_of(self, service: Service, probes: _Probes) -> ComponentStatus:
        said = await self._supervisor.state(service.name)
        healthy = said is not None and said.up and await self._is_healthy(service, probes)
        return ComponentStatus(service.name, said, healthy)

    async def _is_healthy(self, service: Service, probes: _Probes) -> bool:
        if service.name == upstream_services.API_SERVER:
            try:
                await probes.client.raw("/readyz")
            except KubeError:
                return False
            return True
        if service.health:
            return await probes.by_namespace[service.namespace].healthy(service.health)
        if service.socket:
            return await listens(service.socket)
        said = await self._supervisor.state(service.name)
        return said is not None and said.up and (said.ready or not service.notifies)

    def _not_ready(self, service: Service) -> ClusterError:
        said = "\n".join(self._supervisor.last_lines(service.name, _LINES_SHOWN))
        log = self._supervisor.log(service.name)
        return ClusterError(
            f"{service.name} is not ready after {_READY_WITHIN_S:.0f} s. "
            f"The last lines of its log, {log}:\n{said or '(empty)'}"
        )


def supervisor(layout: Layout) -> Supervisor:
    """Return the supervisor of a cluster.

    Raises:
        CgroupError: This host has no cgroups mounted.
    """
    path = f"monopod-{layout.settings.instance}/services"
    groups = ServiceGroups(Hierarchies.of_this_host(), path)
    allowed = limits(ControlPlaneSettings())
    return Supervisor(layout.services, layout.settings.logs, layout.uid(User.LOGS), groups, allowed)
