"""The scheduler on a real API server, with the rights it has in a cluster and no more."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import yaml
from lightkube.models.core_v1 import NodeCondition, NodeStatus
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import RoleRef, Subject
from lightkube.resources.core_v1 import Event, Node, Pod
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding

from monopod import controlplane
from monopod.api.conditions import TRUE
from monopod.api.names import machine_name
from monopod.api.resources import Condition, FargateProfile, MicroVM, Subnet
from monopod.controllers.scheduler import manager
from monopod.controllers.scheduler.settings import SchedulerSettings
from monopod.kube import Client, NotFoundError, connect, meta
from monopod.settings import Settings
from tests.apiserver import ApiServer
from tests.framework import builders
from tests.framework.eventually import eventually
from tests.scheduler import build

USER = "monopod:fargate-scheduler"
_TIMEOUT_S = 60.0
_T = TypeVar("_T")


@pytest.fixture
async def identity(api_server: ApiServer, admin: Client) -> Path:
    """The scheduler's own kubeconfig."""
    group = "rbac.authorization.k8s.io"
    manifest = Path(controlplane.__file__).with_name("manifests") / "rbac.yaml"
    roles = [
        msgspec.convert(each, ClusterRole)
        for each in yaml.safe_load_all(manifest.read_text())
        if each["kind"] == "ClusterRole" and each["metadata"]["name"] == USER
    ]
    binding = ClusterRoleBinding(
        metadata=ObjectMeta(name=USER),
        roleRef=RoleRef(apiGroup=group, kind="ClusterRole", name=USER),
        subjects=[Subject(apiGroup=group, kind="User", name=USER)],
    )
    await admin.apply(roles[0])
    await admin.apply(binding)
    return api_server.kubeconfig(USER)


@asynccontextmanager
async def running_scheduler(
    identity: Path, settings: SchedulerSettings | None = None
) -> AsyncGenerator[None]:
    """A scheduler in this process, gone at the end."""
    ready = asyncio.Event()
    async with connect(identity, manager.COMPONENT) as client:
        work = asyncio.create_task(
            manager.run(
                client,
                # Other tests leave their profiles behind.
                Settings(region=build.REGION.region, max_profiles=10_000),
                settings or SchedulerSettings(csi_drivers=frozenset({"efs.csi.aws.com"})),
                ready.set,
            )
        )
        up = asyncio.create_task(ready.wait())
        await asyncio.wait((work, up), return_when=asyncio.FIRST_COMPLETED)
        try:
            assert not work.done(), work.result()
            yield
        finally:
            for task in (work, up):
                task.cancel()
            await asyncio.wait((work, up))


@pytest.fixture
async def scheduler(identity: Path) -> AsyncIterator[None]:
    async with running_scheduler(identity):
        yield


@dataclass(frozen=True)
class World:
    """One test's corner of the cluster: its namespace, its subnet, its profile."""

    admin: Client
    namespace: str
    tag: str
    nodes: list[str] = field(default_factory=list[str])

    @property
    def subnet_name(self) -> str:
        return f"subnet-{self.tag}"

    @property
    def profile_name(self) -> str:
        return f"fp-{self.tag}"

    async def add_subnet(self, block: str = "192.168.1.0/24", internet: str = "NAT") -> Subnet:
        wanted = builders.subnet(self.subnet_name, block, internet=internet)
        wanted.status = None
        return await self.admin.create(wanted)

    async def add_profile(
        self, name: str = "", *subnets: str, role: str = builders.ARN
    ) -> FargateProfile:
        wanted = builders.profile(
            name or self.profile_name, self.namespace, *(subnets or (self.subnet_name,))
        )
        wanted.spec.podExecutionRoleArn = role
        wanted.status = None
        return await self.admin.create(wanted)

    async def add_pod(self, name: str = "web-0", **parts: Any) -> Pod:
        wanted = builders.pod(name, self.namespace, **parts)
        meta(wanted).uid = None
        return await self.admin.create(wanted)

    async def pod(self, name: str = "web-0") -> Pod:
        return await self.admin.get(Pod, name, self.namespace)

    async def machine(self, pod: Pod) -> MicroVM:
        return await self.admin.get(MicroVM, machine_name(meta(pod).uid or ""))

    async def claimed(self, pod: Pod) -> MicroVM:
        """Wait for a pod's machine."""

        async def look() -> MicroVM | None:
            try:
                return await self.machine(pod)
            except NotFoundError:
                return None

        return await eventually(look)

    async def condition(self, machine: MicroVM, *conditions: Condition, node: str = "") -> None:
        """Say as the MicroVM controller does what has become of a machine."""
        body = {"status": {"nodeName": node, "conditions": conditions}}
        await self.admin.patch(MicroVM, meta(machine).name or "", body, subresource="status")

    async def remove(self, machine: MicroVM) -> None:
        """Remove a machine as the MicroVM controller does, whose finalizer it has."""
        name = meta(machine).name or ""
        await self.admin.patch(MicroVM, name, {"metadata": {"finalizers": None}})
        await self.admin.delete(MicroVM, name)

    async def come_up(self, machine: MicroVM) -> str:
        """Play MicroVM controller and kubelet: a Ready node with a unique name."""
        name = f"fargate-ip-{meta(machine).name}.local-1.compute.internal"
        node = builders.node(name)
        node.status = None
        made = await self.admin.create(node)
        self.nodes.append(name)
        status = NodeStatus(conditions=[NodeCondition(type="Ready", status=TRUE)])
        await self.admin.patch(
            Node, meta(made).name or "", {"status": status}, subresource="status"
        )
        await self.condition(machine, Condition("Ready", TRUE), node=name)
        return name

    async def scheduled(self, reason: str, name: str = "web-0") -> str:
        """Wait until a pod's PodScheduled condition is false for a reason; return its message."""

        async def look() -> str | None:
            found = await self.pod(name)
            for each in (found.status.conditions if found.status else None) or ():
                if each.type == "PodScheduled" and each.reason == reason:
                    return each.message
            return None

        return await eventually(look)

    async def bound(self, name: str = "web-0") -> str:
        async def look() -> str | None:
            found = await self.pod(name)
            return found.spec.nodeName if found.spec else None

        return await eventually(look)

    async def bound_to(self, machine: MicroVM, name: str = "web-0") -> bool:
        """Bring a machine up and wait until its pod is on it."""
        node = await self.come_up(machine)
        return await self.bound(name) == node

    async def events(self, reason: str, at_least: int = 1) -> Sequence[Event]:
        """Wait for events of a reason."""

        async def look() -> Sequence[Event] | None:
            listing = await self.admin.list(Event, self.namespace, fields=f"reason={reason}")
            return listing.items if len(listing.items) >= at_least else None

        return await eventually(look)


@pytest.fixture
async def world(admin: Client, namespace: str) -> AsyncIterator[World]:
    made = World(admin, namespace, uuid.uuid4().hex[:8])
    yield made
    # Other tests' schedulers would go on with what is left here.
    for pod in (await admin.list(Pod, namespace)).items:
        await admin.delete(Pod, meta(pod).name or "", namespace, grace_period_s=0)
    for name in made.nodes:
        with suppress(NotFoundError):
            await admin.delete(Node, name)
