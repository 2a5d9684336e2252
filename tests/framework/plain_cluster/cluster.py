"""A whole plain cluster, for the length of a block."""

import asyncio
import re
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from lightkube.resources.core_v1 import ServiceAccount

from monopod.bench.baseline_node.host import Image
from monopod.build.components import KONNECTIVITY, pause_source, provide
from monopod.controlplane import objects
from monopod.kube import Client, NotFoundError, connect
from monopod.node.guest import pause
from monopod.node.guest.configuration import Registry
from monopod.settings import Settings
from monopod.util.concurrency import run_concurrently
from monopod.util.process import run
from tests.framework.eventually import eventually
from tests.framework.plain_cluster import claim, network, services
from tests.framework.plain_cluster.addresses import MOST_HOSTS, Addresses
from tests.framework.plain_cluster.archive import renamed
from tests.framework.plain_cluster.certificates import Certificates
from tests.framework.plain_cluster.host import Host, HostPlan
from tests.framework.plain_cluster.process import Process
from tests.framework.plain_cluster.services import Timings

ZONES: Final = ("zone-a", "zone-b")
_KUBECTL_S: Final = 120.0


class PlainCluster:
    """A running cluster."""

    def __init__(
        self,
        *,
        directory: Path,
        addresses: Addresses,
        certificates: Certificates,
        processes: Mapping[str, Process],
        hosts: Sequence[Host],
        client: Client,
        kubectl: Path,
    ) -> None:
        self.addresses = addresses
        self.processes = processes
        """The control plane by program: ``etcd``, ``kube-apiserver``, …"""
        self.hosts = hosts
        self.client = client
        """A client that may do everything."""
        self.certificates = certificates
        self._kubectl = kubectl
        self._directory = directory

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of a user who may do everything, valid anywhere on this machine."""
        return self.certificates.kubeconfig("admin")

    async def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator; returns its output.

        Raises:
            ProcessError: It failed.
        """
        return await run(
            *(self._kubectl, f"--kubeconfig={self.kubeconfig}", "--cache-dir=/dev/null"),
            *words,
            stdin=None if stdin is None else stdin.encode(),
            timeout_s=_KUBECTL_S,
        )

    async def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Apply objects as the administrator."""
        text = yaml.safe_dump_all(manifests)
        await self.kubectl("apply", "--server-side", "-f", "-", stdin=text)

    def user(self, name: str, group: str | None = None) -> Path:
        """Return the kubeconfig of a new user, who may do what a test binds it to."""
        return self.certificates.user(re.sub(r"[^A-Za-z0-9.-]", "_", name), name, group)

    async def import_image(self, archive: Path, reference: str) -> None:
        """Import an OCI archive under this reference on all hosts that run."""
        with tempfile.TemporaryDirectory(dir=self._directory) as scratch:
            target = Path(scratch) / "image.tar"
            image = Image(reference, await asyncio.to_thread(renamed, archive, reference, target))
            await run_concurrently(*(host.import_image(image) for host in self.hosts if host.runs))

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        directory: Path,
        *,
        hosts: int = 2,
        number: int | None = None,
        zones: Sequence[str] = ZONES,
        timings: Timings | None = None,
        kubelet: Mapping[str, Any] | None = None,
        registry: Registry | None = None,
        konnectivity: bool = False,
    ) -> AsyncGenerator["PlainCluster"]:
        """Run a cluster, all hosts Ready, and remove every trace of it, also after a failure.

        Args:
            directory: A directory for its files, new or empty.
            hosts: How many hosts it has.
            number: Its id; None means the lowest that is free.
            zones: The zones of its hosts, by turns.
            timings: How soon it acts on a lost host.
            kubelet: Further fields of the hosts' ``KubeletConfiguration``, such as
                ``systemReserved``: each host sees all of this machine.
            registry: One that the hosts pull from by TLS, or without it.
            konnectivity: Whether the API server reaches hosts and pods through konnectivity's
                agents alone, which a test starts as pods; built at its first use.
        """
        assert 0 < hosts <= MOST_HOSTS
        timings = timings or Timings()
        programs = await provide(settings := Settings())
        directory = await asyncio.to_thread(_made, directory)
        async with AsyncExitStack() as stack:
            addresses = stack.enter_context(claim.claimed(number))
            await claim.sweep(addresses)
            stack.push_async_callback(claim.sweep, addresses)
            certificates = Certificates.make(directory / "certificates", addresses)
            await network.create(addresses, hosts)
            tunnel = await provide(settings, components=(KONNECTIVITY,)) if konnectivity else None
            if konnectivity:
                await network.isolate_control_plane(addresses)
            plan = services.Plan(directory, addresses, certificates, programs, timings, tunnel)
            processes = plan.processes()
            for process in processes.values():
                stack.push_async_callback(process.kill)
            client = await stack.enter_async_context(
                connect(certificates.kubeconfig("admin"), "tests")
            )
            sandbox = Image(pause.REFERENCE, await _pause(settings))
            made = [
                Host(
                    HostPlan(
                        index=index,
                        directory=directory / f"host-{index}",
                        addresses=addresses,
                        certificates=certificates,
                        programs=programs.directory.resolve(),
                        timings=timings,
                        sandbox=sandbox.reference,
                        labels={"topology.kubernetes.io/zone": zones[(index - 1) % len(zones)]},
                        kubelet=kubelet or {},
                        registry=registry,
                    ),
                    client,
                )
                for index in range(1, hosts + 1)
            ]
            for host in made:
                stack.push_async_callback(host.remove)
            await run_concurrently(
                _start(client, addresses, processes), *(host.boot([sandbox]) for host in made)
            )
            await run_concurrently(
                # Without it no pod can be created.
                eventually(
                    lambda: client.get(ServiceAccount, "default", "default"),
                    errors=(NotFoundError,),
                ),
                *(host.until_ready() for host in made),
            )
            kubectl = programs.program("kubectl")
            yield cls(
                directory=directory,
                addresses=addresses,
                certificates=certificates,
                processes=processes,
                hosts=made,
                client=client,
                kubectl=kubectl,
            )


async def _start(client: Client, addresses: Addresses, processes: Mapping[str, Process]) -> None:
    """Start the control plane; all but its store need the API server."""
    first = (services.ETCD, services.API_SERVER)
    for name in first:
        await processes[name].start()
    await run_concurrently(
        objects.apply(client, services.manifests(addresses)),
        *(process.start() for name, process in processes.items() if name not in first),
    )


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


async def _pause(settings: Settings) -> bytes:
    source = await pause_source(settings)
    with tempfile.TemporaryDirectory() as scratch:
        return await pause.build(source, Path(scratch))
