"""The patch controllers' environment: a real API server, pods, owners and fake machines."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import ReplicaSet
from lightkube.resources.core_v1 import Event, Pod
from lightkube.resources.policy_v1 import PodDisruptionBudget

from monopod.api import keys
from monopod.api.conditions import find_condition, timestamp
from monopod.api.names import machine_name
from monopod.api.patch_campaigns import (
    PatchCampaign,
    PatchCampaignSpec,
    PatchCampaignStatus,
    PatchSelector,
)
from monopod.api.resources import MicroVM, Subnet, Vpc
from monopod.controllers.patch import events
from monopod.controllers.patch.manager import run
from monopod.controllers.patch.notice import Origin
from monopod.controllers.patch.settings import PatchSettings
from monopod.controllers.patch.sink import Sink, SinkError
from monopod.kube import AlreadyExistsError, Client, NotFoundError, connect, meta, name_of, uid_of
from tests.framework.eventually import eventually
from tests.kube.waiting import running

ORIGIN = Origin("prod", "111122223333", "eu-west-1")
SETTINGS = PatchSettings(refusal_timeout_s=0, replacement_timeout_s=60)
PROFILE = "fp-shop"
_ZONES = {"patch-a": "local-1a", "patch-b": "local-1b"}


class FakeSink:
    """A sink in memory; it refuses while ``refuses`` has reasons."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.refuses: list[SinkError] = []
        self.asked = 0
        self.after: Callable[[], Any] | None = None
        """Awaited after a notice was received and before that is known."""

    async def send(self, event: dict[str, Any]) -> None:
        self.asked += 1
        if self.refuses:
            raise self.refuses.pop(0)
        self.received.append(event)
        if self.after is not None:
            await self.after()


class World:
    """One test's objects in its namespace."""

    def __init__(self, admin: Client, namespace: str, user: Path) -> None:
        self.admin = admin
        self.namespace = namespace
        self.campaign = f"pc-{uuid.uuid4().hex[:8]}"
        self.sink = FakeSink()
        self.offset = timedelta()
        self._user = user

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    async def jump(self, delta: timedelta) -> None:
        """Move the controller's clock, and let it notice."""
        self.offset += delta
        patch = {"metadata": {"annotations": {"test": uuid.uuid4().hex}}}
        await self.admin.patch(PatchCampaign, self.campaign, patch)

    async def furnish(self) -> None:
        vpc = {"metadata": {"name": "patch"}, "spec": {"cidrBlocks": ["192.168.0.0/16"]}}
        await self._ensure(msgspec.convert(vpc, Vpc))
        for number, (name, zone) in enumerate(_ZONES.items()):
            spec = {
                "vpc": "patch",
                "cidrBlock": f"192.168.{number}.0/24",
                "availabilityZone": zone,
            }
            subnet = {"metadata": {"name": name}, "spec": spec}
            await self._ensure(msgspec.convert(subnet, Subnet))

    async def clear(self) -> None:
        for campaign in (await self.admin.list(PatchCampaign)).items:
            await self.admin.delete(PatchCampaign, name_of(campaign))
        for pod in await self.pods():
            await self.admin.delete(Pod, name_of(pod), self.namespace, grace_period_s=0)

    async def _ensure(self, obj: Any) -> None:
        try:
            await self.admin.create(obj)
        except AlreadyExistsError:
            return

    @asynccontextmanager
    async def controller(
        self,
        settings: PatchSettings = SETTINGS,
        wrap: Callable[[Client], None] = lambda _: None,
        sink: Sink | None = None,
    ) -> AsyncGenerator[None]:
        """Run the controllers; leaving cancels them without clean-up, like a kill."""
        async with connect(self._user, "monopod-patch") as client:
            wrap(client)
            own = sink or self.sink
            async with running(run(client, ORIGIN, settings, now=self.now, sink=own)):
                yield

    async def owner(self, name: str = "web-5d8f") -> ReplicaSet:
        wanted = {
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "main", "image": "none"}]},
                },
            },
        }
        return await self.admin.create(msgspec.convert(wanted, ReplicaSet))

    async def pod(
        self,
        name: str,
        owner: ReplicaSet | None = None,
        *,
        subnet: str = "patch-a",
        old: bool = True,
        image: str = "0011",
        node: str | None = None,
    ) -> Pod:
        """Create a Ready pod with a machine, an hour old or just launched."""
        metadata: dict[str, Any] = {"name": name, "namespace": self.namespace}
        labels = {keys.PROFILE_LABEL: PROFILE}
        if owner is not None:
            labels |= {"app": name_of(owner), "pod-template-hash": name_of(owner).split("-")[-1]}
            metadata["ownerReferences"] = [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": name_of(owner),
                    "uid": uid_of(owner),
                    "controller": True,
                }
            ]
        spec = {
            "schedulerName": keys.SCHEDULER_NAME,
            "containers": [{"name": "main", "image": "none"}],
            "nodeName": node,
        }
        wanted = {"metadata": {**metadata, "labels": labels}, "spec": spec}
        made = await self.admin.create(msgspec.convert(wanted, Pod))
        await self._machine(made, subnet, old=old, image=image)
        status = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        return await self.admin.patch(
            Pod, name, {"status": status}, self.namespace, subresource="status"
        )

    async def _machine(self, pod: Pod, subnet: str, *, old: bool, image: str) -> None:
        name = machine_name(uid_of(pod))
        reference = {"namespace": self.namespace, "name": name_of(pod), "uid": uid_of(pod)}
        spec = {
            "podRef": reference,
            "profile": PROFILE,
            "subnet": subnet,
            "milliCPU": 250,
            "memoryMiB": 512,
        }
        await self.admin.create(
            msgspec.convert({"metadata": {"name": name}, "spec": spec}, MicroVM)
        )
        ago = timedelta(hours=1) if old else timedelta(days=-1000)
        status = {
            "imageVersion": image,
            "startTime": timestamp(datetime.now(UTC) - ago),
            "attempts": 1,
        }
        await self.admin.patch(MicroVM, name, {"status": status}, subresource="status")

    async def pods(self) -> list[Pod]:
        return list((await self.admin.list(Pod, self.namespace)).items)

    async def names(self) -> set[str]:
        return {name_of(pod) for pod in await self.pods()}

    async def budget(self, owner: ReplicaSet, allowed: int = 0, name: str = "budget") -> None:
        """Create a disruption budget, or set its status as the disruption controller does."""
        wanted = {
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name_of(owner)}}},
        }
        await self._ensure(msgspec.convert(wanted, PodDisruptionBudget))
        seen = {
            "observedGeneration": 1,
            "disruptionsAllowed": allowed,
            "currentHealthy": 3,
            "desiredHealthy": 3 - allowed,
            "expectedPods": 3,
        }
        await self.admin.patch(
            PodDisruptionBudget, name, {"status": seen}, self.namespace, subresource="status"
        )

    async def start(self, **spec: Any) -> PatchCampaign:
        """Create the campaign, for the test's namespace."""
        selector = PatchSelector(namespaces=[self.namespace])
        # The resolution of creation times is a second.
        spec.setdefault("before", timestamp(self.now()))
        return await self.admin.create(
            PatchCampaign(
                metadata=ObjectMeta(name=self.campaign),
                spec=PatchCampaignSpec(selector=selector, **spec),
            )
        )

    async def status(self) -> PatchCampaignStatus:
        return (await self.admin.get(PatchCampaign, self.campaign)).status_or_empty

    async def phase(self, *phases: str) -> PatchCampaignStatus:
        """Wait for a phase."""

        async def look() -> PatchCampaignStatus | None:
            status = await self.status()
            assert status.phase in phases, status
            return status

        return await eventually(look, f"{self.campaign} is {phases}")

    async def mark(self, pod: str) -> tuple[str, str] | None:
        """Return status and reason of a pod's condition; None without a pod or condition."""
        try:
            found = await self.admin.get(Pod, pod, self.namespace)
        except NotFoundError:
            return None
        condition = find_condition(
            found.status.conditions if found.status else None, keys.SCHEDULED_TERMINATION
        )
        return None if condition is None else (condition.status, condition.reason or "")

    async def marked(self, pod: str, *expected: str) -> None:
        async def look() -> bool:
            found = await self.mark(pod)
            assert found == expected, found
            return True

        await eventually(look, f"{pod} has the condition {expected}")

    async def events(self, reason: str) -> list[tuple[str, int]]:
        """Return pods with events of a reason, and how often each was published."""
        found = (await self.admin.list(Event, self.namespace)).items
        return sorted(
            (event.involvedObject.name or "", event.count or 0)
            for event in found
            if event.reason == reason and event.reportingComponent == events.COMPONENT
        )

    @asynccontextmanager
    async def replacing(self, owner: ReplicaSet, count: int) -> AsyncGenerator[None]:
        """Keep an owner's number of pods, as its controller does."""

        async def keep() -> None:
            while True:
                own = [
                    pod
                    for pod in await self.pods()
                    if any(r.uid == uid_of(owner) for r in meta(pod).ownerReferences or ())
                ]
                for _ in range(count - len(own)):
                    await self.pod(f"new-{uuid.uuid4().hex[:6]}", owner, old=False, image="8899")
                await asyncio.sleep(0.05)

        async with running(keep()):
            yield
