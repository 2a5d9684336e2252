"""Runs machines in launcher pods: the hosts are nodes of the cluster that it is in.

The cluster's scheduler finds the host, its CNI plug-in gives the address, which the machine's pod
takes over. All state of a machine is in its launcher pod: a process that is killed at any instant
is replaced by one that finds every machine. Why it is so: docs/decisions/0013-launcher-pods.md.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from ipaddress import IPv4Address
from typing import Final

import structlog
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.metadata import uid_of
from monopod.fargate.sizing import Size
from monopod.kube import (
    AlreadyExistsError,
    Change,
    Client,
    Deleted,
    Informer,
    KubeError,
    NotFoundError,
    PatchType,
    make_key,
)
from monopod.kube.exec import run_in_pod
from monopod.node.guest.disks import configuration_archive
from monopod.node.provider import (
    Configure,
    DriverSelection,
    LaunchRequest,
    Levels,
    MachineExit,
    PlacementLostError,
    PlacementPendingError,
    PlacementRequest,
    Presence,
    ProviderError,
    launcher_pod,
)
from monopod.node.provider.driver_selection import choose
from monopod.node.provider.launcher_drivers import candidates
from monopod.node.provider.launcher_pod import CONFIGURED, MACHINE, LauncherState, Phase
from monopod.node.provider.launcher_settings import LauncherSettings
from monopod.node.vmm.console import last_lines
from monopod.util.concurrency import run_concurrently

_EXEC_WITHIN_S: Final = 15.0
_GONE_WITHIN_S: Final = 15.0
_CONSOLE_LINES: Final = 20
_REASON: Final = "LauncherPod"
_HOSTS: Final = "the cluster's hosts"
_log: Final = structlog.get_logger("provider")

Watch = Callable[[LauncherState | None], bool]
"""Returns whether a launcher pod, or its absence, is what is waited for."""


class KubernetesProvider:
    """The ``MachineProvider`` whose machines run in launcher pods."""

    remote = True

    def __init__(self, client: Client, pods: Informer[Pod], settings: LauncherSettings) -> None:
        """Configure the provider; ``start`` makes it follow the launcher pods.

        Args:
            client: Creates, deletes and patches pods of the launchers' namespace, and runs
                commands in them.
            pods: The pods of the launchers' namespace.
            settings: Where launcher pods run, and what they request.
        """
        self.boots_at_once = settings.boots_at_once
        self._client = client
        self._pods = pods
        self._settings = settings
        self._candidates = tuple(candidates(settings))
        self._placed: asyncio.Queue[str] = asyncio.Queue()
        self._exits: asyncio.Queue[MachineExit] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._reported: set[str] = set()
        self._stopped: set[str] = set()

    def use(self, client: Client) -> None:
        """Write by this client from now on, which leader election guards."""
        self._client = client

    async def start(self) -> None:
        """Follow the launcher pods. A process that stands by would collect what they report."""
        self._pods.subscribe(self._pod_changed)

    async def place(self, wanted: PlacementRequest) -> IPv4Address:
        """Ensure that a machine has its launcher pod; returns the pod's address. Idempotent.

        Raises:
            PlacementPendingError: The launcher pod has no address yet.
            SizeUnsupportedError: No driver supports this size.
            DriverUnavailableError: Launcher pods do not run the requested driver.
            PlacementLostError: The launcher pod ended.
            ProviderError: The API server refused the launcher pod.
        """
        found = self._state(wanted.name)
        if found is None:
            size = wanted.size.milli_cpu
            chosen = choose(size, wanted.driver, self._candidates, host=_HOSTS)
            await self._create(wanted, chosen.driver)
            raise PlacementPendingError("its launcher pod is created")
        if found.owner != wanted.uid or found.deleted:
            raise PlacementPendingError("an earlier launcher pod of its name is being removed")
        if found.ended is not None:
            raise PlacementLostError(found.ended.message)
        if found.address is None:
            raise PlacementPendingError(found.why, blocked=found.unschedulable)
        return found.address

    async def placed(self) -> AsyncIterator[str]:
        """Yield the names of machines whose launcher pod changed before they were launched."""
        while True:
            yield await self._placed.get()

    async def launch(self, wanted: LaunchRequest, configure: Configure) -> DriverSelection:
        """Give a placed machine its configuration disk, on which it boots. Idempotent.

        Raises:
            PlacementLostError: Its launcher pod is gone.
            ProviderError: Its containers do not start, or the API server refused.
        """
        found = self._state(wanted.name)
        if found is None or found.deleted or found.ended is not None:
            raise PlacementLostError(f"the launcher pod of {wanted.name} is gone")
        if found.phase is Phase.RUNNING:
            return _selection(found.driver)
        files: list[Mapping[str, bytes]] = []

        async def prepare() -> None:
            files.append(await configure())

        try:
            await run_concurrently(self._until_runs(wanted.name), prepare())
            pod = await self._client.get(Pod, wanted.name, self._settings.namespace)
            archive = configuration_archive(files[0])
            await run_in_pod(
                self._client,
                pod,
                MACHINE,
                launcher_pod.CONFIGURE,
                archive,
                timeout_s=_EXEC_WITHIN_S,
            )
            driver = launcher_pod.driver_of(pod)
            note = {"metadata": {"uid": uid_of(pod), "annotations": {CONFIGURED: driver}}}
            await self._client.patch(Pod, wanted.name, note, self._settings.namespace)
        except NotFoundError as error:
            raise PlacementLostError(f"the launcher pod of {wanted.name} is gone") from error
        except KubeError as error:
            raise ProviderError(f"{wanted.name} cannot be launched: {error}") from error
        return _selection(driver)

    def chosen(self, name: str) -> DriverSelection | None:
        """Return the driver of a machine that was launched. None means it was not."""
        found = self._state(name)
        return _selection(found.driver) if found is not None and found.driver else None

    def host(self, name: str) -> str:
        """Return the node that a machine's launcher pod runs on; empty if it has none."""
        found = self._state(name)
        return "" if found is None else found.host

    async def console_tail(self, name: str) -> str:
        """Return the end of a machine's console in one line; empty if it printed nothing."""
        path = f"/api/v1/namespaces/{self._settings.namespace}/pods/{name}/log"
        try:
            query = {"container": MACHINE, "tailLines": _CONSOLE_LINES}
            return last_lines((await self._client.raw(path, query)).decode(errors="replace"))
        except KubeError:
            return ""

    async def kubelet_started(self, name: str) -> datetime | None:
        """Return None: launcher pods do not report when a guest started its kubelet."""
        del name
        return None

    def levels(self) -> Levels:
        """Return what launcher pods request; how much there is, the cluster's scheduler knows."""
        taken = [_requested(each) for each in self._pods.items()]
        size = Size(sum(each.milli_cpu for each in taken), sum(each.memory_mib for each in taken))
        return Levels(size, size, 0, 0, 0)

    async def end_boot_burst(self, name: str) -> None:
        """End a machine's boot burst: limit it to its provisioned CPU."""
        if self._settings.burst:
            await self._limit_cpu(name, lambda size: size.milli_cpu)

    async def resume_burst(self, name: str) -> None:
        """Let a machine use whole processors again."""
        if self._settings.burst:
            await self._limit_cpu(name, lambda size: -(-size.milli_cpu // 1000) * 1000)

    async def terminate(self, name: str) -> None:
        """Delete a machine's launcher pod and wait until its host has confirmed it. Idempotent.

        Raises:
            ProviderError: It is not gone in time: its host does not answer, or the API server.
        """
        self._stopped.add(name)
        try:
            await self._client.delete(Pod, name, self._settings.namespace)
        except NotFoundError:
            self._stopped.discard(name)
            return
        except KubeError as error:
            raise ProviderError(f"{name} cannot be removed: {error}") from error
        if not await self._until(name, lambda found: found is None, _GONE_WITHIN_S):
            found = self._state(name)
            host = found.host if found is not None else ""
            raise ProviderError(
                f"{name} cannot be removed: node {host} does not confirm that its launcher pod"
                f" ended. If that node is off for good, delete its Node object or give it the"
                f" taint node.kubernetes.io/out-of-service"
            )

    async def present(self) -> Mapping[str, Presence]:
        """List the machines that have a launcher pod, read from the API server."""
        try:
            pods = await self._client.list(Pod, self._settings.namespace)
        except KubeError as error:
            raise ProviderError(f"launcher pods cannot be listed: {error}") from error
        return {each.name: _presence(each) for each in map(launcher_pod.read, pods.items)}

    async def ended(self) -> AsyncIterator[MachineExit]:
        """Yield machines as they exit, including those launched by an earlier process."""
        while True:
            yield await self._exits.get()

    async def uncordoned(self) -> AsyncIterator[None]:
        """Yield nothing, ever: the cluster's scheduler keeps launcher pods off cordoned nodes."""
        await asyncio.Event().wait()
        yield

    async def _create(self, wanted: PlacementRequest, driver: str) -> None:
        self._stopped.discard(wanted.name)
        try:
            await self._client.create(launcher_pod.launcher_pod(wanted, driver, self._settings))
        except AlreadyExistsError:
            return
        except KubeError as error:
            raise ProviderError(f"the launcher pod cannot be created: {error}") from error
        _log.info("launcher_created", machine=wanted.name)

    async def _until_runs(self, name: str) -> None:
        """Wait until container ``machine`` runs.

        Raises:
            PlacementLostError: The launcher pod ended.
            ProviderError: It does not start in time; the message says why.
        """

        def settled(found: LauncherState | None) -> bool:
            return found is None or found.machine_runs or found.ended is not None

        within_s = self._settings.start_timeout_s
        in_time = await self._until(name, settled, within_s)
        found = self._state(name)
        if found is None or found.ended is not None:
            why = "is gone" if found is None or found.ended is None else found.ended.message
            raise PlacementLostError(f"the launcher pod of {name} {why}")
        if not in_time:
            raise ProviderError(f"{found.why} (for {within_s:.0f} s)")

    async def _until(self, name: str, holds: Watch, within_s: float) -> bool:
        """Wait for a state of a launcher pod; returns whether it was reached in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not holds(self._state(name)):
                    await self._changed.wait()
        return holds(self._state(name))

    async def _limit_cpu(self, name: str, milli_cpu: Callable[[Size], int]) -> None:
        """Change a machine's CPU limit in place; a cluster that cannot leaves it as it is."""
        pod = self._pods.get(make_key(name, self._settings.namespace))
        if pod is None or (plan := launcher_pod.plan_of(pod)) is None:
            return
        limit = launcher_pod.cpu_limit(milli_cpu(Size(plan.milli_cpu, plan.memory_mib)))
        container = {"name": MACHINE, "resources": {"limits": {"cpu": limit}}}
        try:
            await self._client.patch(
                Pod,
                name,
                {"spec": {"containers": [container]}},
                self._settings.namespace,
                kind_of_patch=PatchType.STRATEGIC,
                subresource="resize",
            )
        except KubeError as error:
            _log.warning("launcher_resize_failed", machine=name, why=str(error))

    def _state(self, name: str) -> LauncherState | None:
        pod = self._pods.get(make_key(name, self._settings.namespace))
        return None if pod is None else launcher_pod.read(pod)

    def _pod_changed(self, change: Change[Pod]) -> None:
        found = launcher_pod.read(change.object)
        gone = isinstance(change, Deleted)
        if gone or not found.driver:
            self._placed.put_nowait(found.name)
        if gone and found.ended is None:
            why = f"its launcher pod was deleted from node {found.host or '(none)'}"
            self._report(found.name, uid_of(change.object), MachineExit(found.name, "Deleted", why))
        elif found.ended is not None:
            self._report(found.name, uid_of(change.object), found.ended)
        if gone:
            self._reported.discard(uid_of(change.object))
            self._stopped.discard(found.name)
        # Who waits looks again, and then waits for the next change.
        self._changed.set()
        self._changed = asyncio.Event()

    def _report(self, name: str, uid: str, ended: MachineExit) -> None:
        """Report the end of a launcher pod once, unless it was deleted by ``terminate``."""
        if name in self._stopped or uid in self._reported:
            return
        self._reported.add(uid)
        self._exits.put_nowait(ended)


@asynccontextmanager
async def open_launchers(
    client: Client, settings: LauncherSettings
) -> AsyncGenerator[KubernetesProvider]:
    """Run a provider, and its informer of launcher pods, for the length of a block.

    Raises:
        ProviderError: No image is set.
    """
    if not settings.image:
        raise ProviderError("MONOPOD_LAUNCHER_IMAGE is not set: set it to the launcher's image")
    pods = Informer(client, Pod, namespace=settings.namespace)
    provider = KubernetesProvider(client, pods, settings)
    following = asyncio.ensure_future(pods.run())
    try:
        await pods.synced()
        yield provider
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _selection(driver: str) -> DriverSelection:
    return DriverSelection(
        driver, driver == keys.DRIVER_KVM, _REASON, f"{driver} in a launcher pod"
    )


def _presence(found: LauncherState) -> Presence:
    if found.ended is not None:
        return Presence.REMAINS
    return Presence.RUNNING if found.phase is Phase.RUNNING else Presence.PLACED


def _requested(pod: Pod) -> Size:
    plan = launcher_pod.plan_of(pod)
    return Size(0, 0) if plan is None else Size(plan.milli_cpu, plan.memory_mib)
