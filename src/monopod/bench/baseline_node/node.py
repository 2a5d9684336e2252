"""Lifecycle of a baseline node: start, readiness and complete removal."""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path, PurePosixPath
from typing import Final

from lightkube.resources.certificates_v1 import CertificateSigningRequest
from lightkube.resources.core_v1 import Node

from monopod.api import constants, keys
from monopod.api.conditions import TRUE
from monopod.bench.baseline_node import configuration
from monopod.bench.baseline_node.cgroups import CgroupTree
from monopod.bench.baseline_node.configuration import BaselineConfiguration
from monopod.bench.baseline_node.shell import Shell
from monopod.bench.baseline_node.wiring import Wire
from monopod.bench.errors import BenchError
from monopod.bench.informers import following, until
from monopod.identity.node import NodeCertificates, NodeIssuer, NodeSubject
from monopod.kube import Client, Informer, NotFoundError, meta
from monopod.node.guest.kubelet import RUNTIME_SOCKET
from monopod.node.net.addresses import CLUSTER_DNS
from monopod.node.net.cluster_network import NODE_LINK_GROUP, ClusterNetwork
from monopod.node.net.namespaces import Namespace
from monopod.util.process import ProcessError

LABEL: Final = "monopod.dev/baseline"
"""Label of the node; also the key of the taint that repels pods without a toleration."""
_RUNTIME_WITHIN_S: Final = 30.0
_READY_WITHIN_S: Final = 90.0
_DEAD_WITHIN_S: Final = 15.0
_POLL_S: Final = 0.05
_LOG_LINES: Final = 8


@dataclass(frozen=True, slots=True)
class Image:
    """A container image that the node imports at its start."""

    reference: str
    archive: bytes
    """Path of an OCI or Docker archive."""


class BaselineNode:
    """One baseline node of a running cluster."""

    def __init__(
        self,
        client: Client,
        *,
        signing: Client,
        plan: ClusterNetwork,
        home: Path,
        programs: Path,
        ca_certificate: bytes,
        registry: str,
        pods: IPv4Network | None = None,
    ) -> None:
        """Describe the node; ``running`` starts it.

        Args:
            client: Reads and deletes nodes.
            signing: Requests nodes' certificates; has so few rights that kube-controller-manager
                does not approve its requests first.
            plan: The cluster's network.
            home: The cluster's ``MONOPOD_HOME``; the node's files are in its ``baseline``.
            programs: Directory of the component programs.
            ca_certificate: PEM of the CA that signed the API server's certificate.
            registry: The cluster's registry, as ``address:port``.
            pods: A block of the VPC for its pods' addresses, which only load balancers reach. None
                means unrouted addresses.
        """
        self.name = f"baseline-{plan.instance}"
        self._client = client
        self._signing = signing
        self._plan = plan
        self._root = home.resolve() / "baseline"
        self._programs = programs.resolve()
        self._ca = ca_certificate
        self._registry = registry
        wire = f"node-{plan.instance}"
        self._wire = Wire(wire) if pods is None else Wire(wire, pods=pods, group=NODE_LINK_GROUP)
        # Below the cluster's own cgroup, so that `monopod down` ends this as well.
        self._cgroups = CgroupTree(f"monopod-{plan.instance}/baseline")
        self._shell: Shell | None = None

    @asynccontextmanager
    async def running(self, sandbox: Image, *images: Image) -> AsyncGenerator["BaselineNode"]:
        """Run the node, ready, for the length of a block, and remove it completely.

        Args:
            sandbox: The image of pod sandboxes; pods can run it as well.
            images: Further images that pods can run.

        Raises:
            BenchError: The node did not become ready; the message ends with its log.
            IdentityError: Its certificates were not issued.
            NetworkError: The cluster's network does not exist.
        """
        await self.remove()
        try:
            await self._start(sandbox, *images)
            yield self
        finally:
            await asyncio.shield(self.remove())

    async def remove(self) -> None:
        """Remove everything of the node, even if its process was killed. Idempotent.

        Raises:
            BenchError: Something cannot be removed.
        """
        if self._shell is not None:
            await self._shell.kill()
            self._shell = None
        await self._cgroups.destroy(_DEAD_WITHIN_S)
        await self._wire.disconnect(self._router)
        if self._root.exists():
            await asyncio.to_thread(shutil.rmtree, self._root)
        with suppress(NotFoundError):
            await self._client.delete(Node, self.name)

    @property
    def _router(self) -> Namespace:
        return Namespace.named(self._plan.router_name)

    async def _start(self, *images: Image) -> None:
        certificates = await self._certificates()
        await asyncio.to_thread(self._furnish, images, certificates)
        joins = self._cgroups.create()
        shell = await Shell.start(self._root, self.name, self._programs, joins)
        self._shell = shell
        await self._wire.connect(self._router, shell.network)
        await shell.release()
        for number, image in enumerate(images):
            await self._import(shell, image, configuration.image_archive(number))
        await self._until_ready()

    async def _certificates(self) -> NodeCertificates:
        requests = Informer(self._signing, CertificateSigningRequest)
        issuer = NodeIssuer(self._signing, requests)
        subject = NodeSubject(self.name, self.name, (self.name,), (self._wire.address,))
        try:
            async with following(requests):
                return await issuer.issue(subject)
        finally:
            await self._remove_requests()

    async def _remove_requests(self) -> None:
        label = f"{keys.MACHINE_LABEL}={self.name}"
        for request in (await self._signing.list(CertificateSigningRequest, labels=label)).items:
            with suppress(NotFoundError):
                await self._signing.delete(CertificateSigningRequest, meta(request).name or "")

    def _furnish(self, images: Sequence[Image], certificates: NodeCertificates) -> None:
        """Write the node's files below its root, which only root may enter."""
        sandbox, *_ = images
        self._root.mkdir(mode=0o700)
        for directory in configuration.directories():
            self._host_path(directory).mkdir(parents=True, exist_ok=True)
        wanted = BaselineConfiguration(
            name=self.name,
            address=self._wire.address,
            pods=self._wire.pods,
            resolver=self._plan.resolver,
            cluster_dns=CLUSTER_DNS,
            api_server=self._plan.api_server,
            sandbox_image=sandbox.reference,
            registry=self._registry,
            cgroup=f"/{self._cgroups.path}",
            ca_certificate=self._ca,
            certificates=certificates,
            labels={LABEL: self._plan.instance},
            taints=((LABEL, self._plan.instance, "NoSchedule"),),
        )
        for path, file in configuration.files(wanted).items():
            target = self._host_path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch(mode=file.mode)
            target.write_bytes(file.content)
        for path, leads_to in configuration.links().items():
            link = self._host_path(path)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(leads_to)
        for number, image in enumerate(images):
            self._host_path(configuration.image_archive(number)).write_bytes(image.archive)

    async def _import(self, shell: Shell, image: Image, archive: PurePosixPath) -> None:
        deadline = time.monotonic() + _RUNTIME_WITHIN_S
        socket = self._host_path(RUNTIME_SOCKET)
        while not socket.exists():
            if time.monotonic() > deadline or not shell.runs:
                raise self._late("containerd", _RUNTIME_WITHIN_S)
            await asyncio.sleep(_POLL_S)
        try:
            await shell.run_inside(
                str(configuration.PROGRAMS / "ctr"),
                f"--address={RUNTIME_SOCKET}",
                "--namespace=k8s.io",
                *("images", "import", "--snapshotter=overlayfs", str(archive)),
            )
        except ProcessError as error:
            raise BenchError(f"cannot import image {image.reference}: {error}") from error

    async def _until_ready(self) -> None:
        def ready(found: list[Node]) -> bool:
            reported = [node.status.conditions for node in found if node.status]
            return any(
                each.type == constants.READY and each.status == TRUE
                for conditions in reported
                for each in conditions or ()
            )

        if not await until(self._client, Node, ready, name=self.name, within_s=_READY_WITHIN_S):
            raise self._late("kubelet", _READY_WITHIN_S)

    def _host_path(self, path: PurePosixPath) -> Path:
        return self._root / path.relative_to("/")

    def _late(self, service: str, seconds: float) -> BenchError:
        log = self._host_path(configuration.LOGS / service / "current")
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        said = "\n".join(lines[-_LOG_LINES:]) or "(the log is empty)"
        return BenchError(
            f"{service} of the baseline node is not ready after {seconds:.0f} s; its log ends:\n"
            f"{said}"
        )
