"""Lifecycle of a baseline node: start, readiness and complete removal."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from lightkube.resources.certificates_v1 import CertificateSigningRequest
from lightkube.resources.core_v1 import Node

from monopod.api import constants, keys
from monopod.api.conditions import TRUE
from monopod.bench.baseline_node.configuration import BaselineConfiguration
from monopod.bench.baseline_node.host import Image, NodeHost
from monopod.bench.baseline_node.wiring import Wire
from monopod.bench.informers import following, until
from monopod.identity.node import NodeCertificates, NodeIssuer, NodeSubject
from monopod.kube import Client, Informer, NotFoundError, meta
from monopod.node.guest.configuration import Registry
from monopod.node.net.addresses import CLUSTER_DNS
from monopod.node.net.cluster_network import NODE_LINK_GROUP, ClusterNetwork
from monopod.node.net.namespaces import Namespace

LABEL: Final = "monopod.dev/baseline"
"""Label of the node; also the key of the taint that repels pods without a toleration."""
_READY_WITHIN_S: Final = 90.0


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
        self._ca = ca_certificate
        self._registry = registry
        wire = f"node-{plan.instance}"
        self._host = NodeHost(
            self.name,
            root=home.resolve() / "baseline",
            programs=programs.resolve(),
            # Below the cluster's own cgroup, so that `monopod down` ends this as well.
            cgroup=f"monopod-{plan.instance}/baseline",
            wire=Wire(wire) if pods is None else Wire(wire, pods=pods, group=NODE_LINK_GROUP),
            router=Namespace.named(plan.router_name),
        )

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
            await self._host.boot(self._configuration(sandbox, await self._certificates()))
            for image in (sandbox, *images):
                await self._host.import_image(image)
            await self._until_ready()
            yield self
        finally:
            await asyncio.shield(self.remove())

    async def remove(self) -> None:
        """Remove everything of the node, even if its process was killed. Idempotent.

        Raises:
            BenchError: Something cannot be removed.
        """
        await self._host.remove()
        with suppress(NotFoundError):
            await self._client.delete(Node, self.name)

    async def _certificates(self) -> NodeCertificates:
        requests = Informer(self._signing, CertificateSigningRequest)
        issuer = NodeIssuer(self._signing, requests)
        subject = NodeSubject(self.name, self.name, (self.name,), (self._host.wire.address,))
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

    def _configuration(
        self, sandbox: Image, certificates: NodeCertificates
    ) -> BaselineConfiguration:
        return BaselineConfiguration(
            name=self.name,
            address=self._host.wire.address,
            pods=self._host.wire.pods,
            resolver=self._plan.resolver,
            cluster_dns=CLUSTER_DNS,
            api_server=self._plan.api_server,
            sandbox_image=sandbox.reference,
            registry=Registry(self._registry, self._ca),
            cgroup=f"/{self._host.cgroup}",
            ca_certificate=self._ca,
            certificates=certificates,
            labels={LABEL: self._plan.instance},
            taints=((LABEL, self._plan.instance, "NoSchedule"),),
        )

    async def _until_ready(self) -> None:
        def ready(found: list[Node]) -> bool:
            reported = [node.status.conditions for node in found if node.status]
            return any(
                each.type == constants.READY and each.status == TRUE
                for conditions in reported
                for each in conditions or ()
            )

        if not await until(self._client, Node, ready, name=self.name, within_s=_READY_WITHIN_S):
            raise self._host.late("kubelet", _READY_WITHIN_S)
