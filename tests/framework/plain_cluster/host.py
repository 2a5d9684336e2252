"""One host of a plain cluster: its power, its images, and its connection to the API server."""

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lightkube.resources.core_v1 import Node

from monopod.bench.baseline_node.configuration import BaselineConfiguration
from monopod.bench.baseline_node.host import Image, NodeHost
from monopod.bench.baseline_node.wiring import Wire
from monopod.identity.node import NodeCertificates
from monopod.kube import Client, NotFoundError
from monopod.node.guest.configuration import Registry
from monopod.node.net.namespaces import Namespace
from monopod.util.process import ProcessError
from tests.framework.eventually import eventually
from tests.framework.plain_cluster import network
from tests.framework.plain_cluster.addresses import DNS_SERVICE, Addresses
from tests.framework.plain_cluster.certificates import Certificates
from tests.framework.plain_cluster.services import Timings

_READY_WITHIN_S: Final = 90.0


class Direction(enum.Enum):
    """Which packets between a host and the API server are lost."""

    TO_API_SERVER = "to"
    FROM_API_SERVER = "from"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What a host is made from."""

    index: int
    """Counted from 1."""
    directory: Path
    addresses: Addresses
    certificates: Certificates
    programs: Path
    timings: Timings
    sandbox: str
    """Reference of the image of pod sandboxes."""
    labels: Mapping[str, str]
    kubelet: Mapping[str, Any]
    """Further fields of its ``KubeletConfiguration``."""
    registry: Registry | None

    @property
    def name(self) -> str:
        """The name of host and node."""
        return self.addresses.host_name(self.index)

    def configuration(self, certificates: NodeCertificates) -> BaselineConfiguration:
        """Return the configuration of its kubelet and containerd."""
        return BaselineConfiguration(
            name=self.name,
            address=self.addresses.host(self.index),
            pods=self.addresses.pods_of(self.index),
            resolver=self.addresses.dns,
            cluster_dns=DNS_SERVICE,
            api_server=self.addresses.api_server,
            sandbox_image=self.sandbox,
            registry=self.registry,
            cgroup=f"/{self.cgroup}",
            ca_certificate=self.certificates.ca,
            certificates=certificates,
            labels=self.labels,
            kubelet={
                "nodeLeaseDurationSeconds": self.timings.lease_s,
                "nodeStatusUpdateFrequency": "2s",
                **self.kubelet,
            },
        )

    @property
    def cgroup(self) -> str:
        """Its path in every cgroup hierarchy."""
        return f"{self.addresses.name}/host-{self.index}"


class Host:
    """One host, whose node has its name."""

    def __init__(self, plan: HostPlan, client: Client) -> None:
        self.name = plan.name
        self.address = plan.addresses.host(plan.index)
        self.pods = plan.addresses.pods_of(plan.index)
        """The addresses of its pods."""
        self.index = plan.index
        self._plan = plan
        self._client = client
        self._started = dt.datetime.now(dt.UTC)
        self._certificates = plan.certificates.node(self.name, self.address)
        self._control = Namespace.named(plan.addresses.namespace)
        self._host = NodeHost(
            self.name,
            root=plan.directory,
            programs=plan.programs,
            cgroup=plan.cgroup,
            wire=Wire(
                plan.addresses.link(plan.index),
                self.address,
                self.pods,
                group=0,
                gateway=plan.addresses.gateway,
            ),
            router=self._control,
        )

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self._host.runs

    @property
    def network(self) -> Namespace:
        """Its network namespace; each start makes another."""
        return self._host.shell.network

    async def boot(self, images: Sequence[Image] = ()) -> None:
        """Start it without waiting for its node; its disk is as it was when it was killed."""
        self._started = dt.datetime.now(dt.UTC)
        await self._host.boot(self._plan.configuration(self._certificates))
        await network.route_by_gateway(self.network, self._plan.addresses, self._plan.index)
        for image in images:
            await self._host.import_image(image)

    async def start(self) -> None:
        """Start it, and wait until its node is Ready."""
        await self.boot()
        await self.until_ready()

    async def kill(self) -> None:
        """End it at once, as if its power was lost: the others hear nothing from it. Idempotent."""
        await self._host.kill()

    async def remove(self) -> None:
        """Remove everything of it on this machine. Idempotent."""
        await self._host.remove()

    async def import_image(self, image: Image) -> None:
        """Import an image into containerd."""
        await self._host.import_image(image)

    async def run(self, *argv: str | Path) -> str:
        """Run a program of this machine in the host's mounts and network; returns its output."""
        return await self._host.shell.run_inside(*argv)

    def log(self, service: str) -> str:
        """Return the log of ``kubelet`` or ``containerd``."""
        return self._host.log(service)

    async def partition(self, direction: Direction = Direction.BOTH) -> None:
        """Drop packets between the host, with its pods, and the API server; nothing else.

        It replaces an earlier partition of this host.
        """
        await self.heal()
        link = self._plan.addresses.link(self._plan.index)
        api_server = self._plan.addresses.control
        to = f"iifname {link} ip daddr {api_server} drop"
        back = f"oifname {link} ip saddr {api_server} drop"
        await network.nft(
            self._control,
            f"""
            table inet {self._table} {{
                chain from_host {{
                    type filter hook input priority -10;
                    {to if direction is not Direction.FROM_API_SERVER else ""}
                }}
                chain to_host {{
                    type filter hook output priority -10;
                    {back if direction is not Direction.TO_API_SERVER else ""}
                }}
            }}""",
        )

    async def heal(self) -> None:
        """End the partition. Idempotent."""
        with suppress(ProcessError):
            await network.nft(self._control, f"delete table inet {self._table}")

    async def ready(self) -> bool:
        """Say whether the node is Ready."""
        return await self._said_ready() is not None

    async def until_ready(self) -> None:
        """Wait until its kubelet has said since its last start that it is Ready.

        Raises:
            BenchError: It did not in time; the message ends with its log.
        """

        async def ready() -> bool:
            said = await self._said_ready()
            return said is not None and said >= self._started

        try:
            await eventually(ready, timeout_s=_READY_WITHIN_S, every_s=0.1)
        except AssertionError as error:
            raise self._host.late("kubelet", _READY_WITHIN_S) from error
        blocks = {"podCIDR": str(self.pods), "podCIDRs": [str(self.pods)]}
        await self._client.patch(Node, self.name, {"spec": blocks})

    async def _said_ready(self) -> dt.datetime | None:
        """Return when its kubelet last said that the node is Ready; None if it is not."""
        try:
            node = await self._client.get(Node, self.name)
        except NotFoundError:
            return None
        for each in (node.status.conditions if node.status else None) or ():
            if each.type == "Ready" and each.status == "True":
                return each.lastHeartbeatTime
        return None

    @property
    def _table(self) -> str:
        return f"partition_{self._plan.index}"
