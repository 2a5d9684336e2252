"""The MicroVM controllers' environment: a real API server, pods and fake machines."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import ConfigMap, Event, Node, Pod

from monopod.api.keys import SYSTEM_NAMESPACE
from monopod.api.resources import Condition, MicroVM, MicroVMStatus, Subnet, Vpc
from monopod.controllers.microvm import conditions, heartbeats, resting
from monopod.controllers.microvm.cluster_endpoint import ClusterEndpoint
from monopod.controllers.microvm.manager import run
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.identity.pull_grant import PullGrants
from monopod.kube import AlreadyExistsError, Client, NotFoundError, connect, meta, uid_of
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually
from tests.microvm.fakes import FakeHost, FakeProvider

T = TypeVar("T")
SUBNET = "machines-a"
TINY = "machines-tiny"
"""A subnet with eleven pod addresses."""
IMAGE = Path("/cache/guest/0011223344556677")
SETTINGS = MicroVMSettings(image=IMAGE, registration_timeout_s=30, unready_timeout_s=30)
ENDPOINT = ClusterEndpoint(
    "https://192.0.2.1:6443", b"authority", "192.0.2.1:5000", "192.0.2.9:5001", "local-1"
)


class World:
    """One test's objects and host; all are removed afterwards."""

    def __init__(
        self, server: ApiServer, admin: Client, namespace: str, user: Path, pulls: PullGrants
    ) -> None:
        self.server = server
        self.admin = admin
        self.namespace = namespace
        self.host = FakeHost()
        self.pulls = pulls
        self._user = user
        self._made: list[str] = []

    async def furnish(self) -> None:
        blocks = {SUBNET: "192.168.1.0/24", TINY: "192.168.2.0/28"}
        vpc = {"metadata": {"name": "machines"}, "spec": {"cidrBlocks": ["192.168.0.0/16"]}}
        await self._ensure(msgspec.convert(vpc, Vpc))
        for name, block in blocks.items():
            subnet = {
                "metadata": {"name": name},
                "spec": {"vpc": "machines", "cidrBlock": block, "availabilityZone": "local-1a"},
            }
            await self._ensure(msgspec.convert(subnet, Subnet))

    async def _ensure(self, obj: Any) -> None:
        try:
            await self.admin.create(obj)
        except AlreadyExistsError:
            return

    @asynccontextmanager
    async def controller(
        self, settings: MicroVMSettings = SETTINGS, boots_at_once: int = 100
    ) -> AsyncGenerator[None]:
        """Run the controllers; leaving cancels them without clean-up, like a kill."""
        started = asyncio.Event()
        async with connect(self._user, "monopod-microvm") as client:
            provider = FakeProvider(self.host, boots_at_once)
            work = asyncio.create_task(
                run(client, provider, ENDPOINT, self.pulls, settings, ready=started.set)
            )
            begun = asyncio.create_task(started.wait())
            await asyncio.wait((work, begun), return_when=asyncio.FIRST_COMPLETED)
            begun.cancel()
            try:
                if work.done():
                    work.result()
                yield
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

    async def pod(self, name: str = "web", **spec: Any) -> Pod:
        wanted = {
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "schedulerName": "fargate-scheduler",
                "containers": [{"name": "main", "image": "none"}],
                **spec,
            },
        }
        return await self.admin.create(msgspec.convert(wanted, Pod))

    async def claim(
        self,
        pod: Pod,
        subnet: str = SUBNET,
        milli_cpu: int = 250,
        driver: str = "",
        role: str = "",
    ) -> str:
        """Create a MicroVM, as the scheduler does; returns its name."""
        name = f"mvm-{hashlib.sha256(uid_of(pod).encode()).hexdigest()[:10]}"
        wanted = {
            "metadata": {"name": name},
            "spec": {
                "podRef": {
                    "namespace": self.namespace,
                    "name": meta(pod).name,
                    "uid": uid_of(pod),
                },
                "profile": "default",
                "subnet": subnet,
                "milliCPU": milli_cpu,
                "memoryMiB": 512,
                "driver": driver,
                "podExecutionRoleArn": role,
            },
        }
        await self.admin.create(msgspec.convert(wanted, MicroVM))
        self._made.append(name)
        return name

    async def machine(self, name: str) -> MicroVM | None:
        try:
            return await self.admin.get(MicroVM, name)
        except NotFoundError:
            return None

    async def condition(
        self,
        name: str,
        kind: str,
        status: str = "True",
        reason: str | None = None,
        timeout_s: float = 60.0,
    ) -> MicroVM:
        """Wait for a machine's condition."""

        async def look() -> MicroVM | None:
            machine = await self.machine(name)
            found = None if machine is None else conditions.find(machine, kind)
            fits = found is not None and found.status == status and reason in (None, found.reason)
            return machine if fits else None

        what = f"{name} has {kind}={status} {reason or ''}"
        return await eventually(look, what, timeout_s)

    async def gone(self, name: str, timeout_s: float = 60.0) -> None:
        """Wait until a machine's object is gone, and the host has nothing of it."""

        async def look() -> bool:
            return await self.machine(name) is None and name not in self.host.machines

        await eventually(look, f"{name} is gone", timeout_s)

    async def gone_object(self, name: str, timeout_s: float = 60.0) -> None:
        """Wait until a machine's object is gone."""

        async def look() -> bool:
            return await self.machine(name) is None

        await eventually(look, f"{name} is gone", timeout_s)

    async def running(self, name: str) -> MicroVM:
        """Bring a machine to a ready node, acting as its kubelet."""
        machine = await self.condition(name, conditions.LAUNCHED)
        await self.report(machine, ready=True)
        return await self.condition(name, conditions.READY)

    async def report(
        self, machine: MicroVM, *, ready: bool, version: str = "v1.37.2", status: str = ""
    ) -> None:
        """Patch a node's status as its kubelet does."""
        condition = {
            "type": "Ready",
            "status": status or str(ready),
            "reason": "KubeletReady" if ready else "KubeletNotReady",
            "message": "reported by a test",
            "lastTransitionTime": "2026-11-23T18:00:00Z",
        }
        info = dict.fromkeys(_NODE_INFO, "x") | {"kubeletVersion": version}
        await self.admin.patch(
            Node,
            status_of(machine).nodeName,
            {"status": {"conditions": [condition], "nodeInfo": info}},
            subresource="status",
        )

    async def bind(self, pod: Pod, machine: MicroVM, *, running: bool = True) -> None:
        await self.admin.bind(pod, status_of(machine).nodeName)
        if running:
            started = {"running": {"startedAt": "2026-11-23T18:00:00Z"}}
            main = {"name": "main", "image": "none", "imageID": "", "restartCount": 0}
            await self.pod_status(
                pod,
                {
                    "phase": "Running",
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [
                        main | {"ready": True, "started": True, "state": started}
                    ],
                },
            )

    async def pod_status(self, pod: Pod, status: dict[str, Any]) -> None:
        await self.admin.patch(
            Pod, meta(pod).name or "", {"status": status}, self.namespace, subresource="status"
        )

    async def find_pod(self, name: str = "web") -> Pod | None:
        try:
            return await self.admin.get(Pod, name, self.namespace)
        except NotFoundError:
            return None

    async def nodes(self) -> list[Node]:
        return list((await self.admin.list(Node)).items)

    async def renew(self, machine: MicroVM) -> str:
        """Renew a node's Lease, as a kubelet does; returns the renewal's time of day."""
        node, now = status_of(machine).nodeName, datetime.now(UTC)
        spec = {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": now}
        wanted = {"metadata": {"name": node, "namespace": "kube-node-lease"}, "spec": spec}
        try:
            await self.admin.create(msgspec.convert(wanted, Lease))
        except AlreadyExistsError:
            await self.admin.patch(Lease, node, {"spec": {"renewTime": now}}, "kube-node-lease")
        return f"{now:%H:%M:%S}"

    async def claim_node(self, label: str, block: str) -> str:
        """Create a worker node, as ``monopod node add`` does; returns its machine's name."""
        name = f"mvm-{hashlib.sha256(label.encode()).hexdigest()[:10]}"
        wanted = {
            "metadata": {"name": name},
            "spec": {
                "purpose": "WorkerNode",
                "podRef": {"namespace": "monopod-system", "name": label, "uid": f"node-{label}"},
                "profile": "",
                "subnet": SUBNET,
                "milliCPU": 250,
                "memoryMiB": 512,
                "podCIDR": block,
            },
        }
        await self.admin.create(msgspec.convert(wanted, MicroVM))
        self._made.append(name)
        return name

    async def event(self, text: str, about: str = "") -> Event:
        """Wait for an event that contains a text, on a pod or on a MicroVM by its name."""

        async def look() -> Event | None:
            namespace = "default" if about else self.namespace
            events = (await self.admin.list(Event, namespace)).items
            return next(
                (
                    event
                    for event in events
                    if text in (event.message or "")
                    and (not about or event.involvedObject.name == about)
                ),
                None,
            )

        return await eventually(look, f"an event with {text!r}")

    async def clear(self) -> None:
        """Remove all objects, whether or not a controller did."""
        for name in self._made:
            if await self.machine(name) is not None:
                await self.admin.patch(MicroVM, name, {"metadata": {"finalizers": None}})
                await _delete(self.admin, MicroVM, name)
        for node in await self.nodes():
            await _delete(self.admin, Node, meta(node).name or "")
        # No garbage collector runs here.
        for lease in (await self.admin.list(Lease, heartbeats.NAMESPACE)).items:
            await _delete(self.admin, Lease, meta(lease).name or "", heartbeats.NAMESPACE)
        with suppress(NotFoundError):
            await self.admin.delete(ConfigMap, resting.NAME, SYSTEM_NAMESPACE)


_NODE_INFO = (
    *("architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion"),
    *("machineID", "operatingSystem", "osImage", "systemUUID"),
)


async def _delete(admin: Client, kind: type[Any], name: str, namespace: str | None = None) -> None:
    try:
        await admin.delete(kind, name, namespace)
    except NotFoundError:
        return


def status_of(machine: MicroVM) -> MicroVMStatus:
    assert machine.status is not None
    return machine.status


def condition_of(machine: MicroVM, kind: str) -> Condition:
    found = conditions.find(machine, kind)
    assert found is not None
    return found


def addresses_of(machines: Sequence[MicroVM]) -> list[IPv4Address]:
    return [
        IPv4Address(address)
        for machine in machines
        for address in (status_of(machine).podAddress, status_of(machine).managementAddress)
    ]
