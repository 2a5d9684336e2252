"""A refusal goes as soon as it is no longer true, without the pod being deleted, and says so."""

import msgspec
import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from lightkube.resources.node_v1 import RuntimeClass

from monopod.api import keys
from monopod.api.resources import FargateProfile, Vpc, VpcSpec
from monopod.kube import NotFoundError, meta
from monopod.webhooks.manifests import runtime_class
from tests.framework import builders
from tests.scheduler.conftest import World, eventually

pytestmark = [pytest.mark.api, pytest.mark.row("S8"), pytest.mark.usefixtures("scheduler")]


async def _withdrawn(world: World, pod: Pod, refused: str) -> None:
    """Wait for the pod's machine, and for the event that its failure is resolved."""
    await world.claimed(pod)
    (event,) = await world.events("FailedSchedulingResolved")
    assert event.message == f"Resolved: {refused}"
    assert (event.type, event.involvedObject.uid) == ("Normal", meta(pod).uid)
    assert event.reportingComponent == "fargate-scheduler"
    assert await world.scheduled("Provisioning")


async def test_when_the_profile_is_made(world: World) -> None:
    await world.add_subnet()
    pod = await world.add_pod(metadata={"labels": {keys.PROFILE_LABEL: world.profile_name}})
    said = await world.scheduled("NamedProfileNotFound")
    await world.add_profile()
    await _withdrawn(world, pod, said)


async def test_when_the_profile_is_recreated(world: World) -> None:
    """From containers-roadmap#2654: pods that failed under the old one stay Pending on AWS."""
    await world.add_profile()
    pod = await world.add_pod()
    await world.scheduled("MisconfiguredFargateProfile")
    await world.admin.delete(FargateProfile, world.profile_name)

    async def gone() -> bool:
        try:
            await world.admin.get(FargateProfile, world.profile_name)
        except NotFoundError:
            return True
        return False

    await eventually(gone)

    async def without() -> str | None:
        said = await world.scheduled("NoProfileMatches")
        return said if "being deleted" not in said else None

    said = await eventually(without)
    await world.add_subnet()
    await world.add_profile("again-" + world.tag)
    await _withdrawn(world, pod, said)


async def test_when_a_profile_selects_its_runtime_class(world: World) -> None:
    await world.admin.apply(msgspec.convert(runtime_class(), RuntimeClass))
    await world.add_subnet()
    pod = await world.add_pod(runtimeClassName=keys.RUNTIME_CLASS)
    said = await world.scheduled("NoProfileMatches")
    labels = {keys.RUNTIME_CLASS_LABEL: keys.RUNTIME_CLASS}
    selectors = [{"namespace": world.namespace, "labels": labels}]
    profile = builders.profile(world.profile_name, "", world.subnet_name, selectors=selectors)
    profile.status = None
    await world.admin.create(profile)
    await _withdrawn(world, pod, said)


@pytest.mark.row("S16")
async def test_when_the_vpc_gets_its_dns(world: World) -> None:
    name = f"vpc-{world.tag}"
    spec = VpcSpec(["192.168.0.0/16"], enableDnsHostnames=False)
    await world.admin.create(Vpc(metadata=ObjectMeta(name=name), spec=spec))
    subnet = builders.subnet(world.subnet_name)
    subnet.spec.vpc, subnet.status = name, None
    await world.admin.create(subnet)
    await world.add_profile()
    pod = await world.add_pod()
    said = await world.scheduled("MisconfiguredFargateProfile")
    assert said.endswith(
        f"DNS resolution and DNS hostnames must be enabled for VPC {name}:"
        " enableDnsHostnames is false"
    )
    await world.admin.patch(Vpc, name, {"spec": {"enableDnsHostnames": True}})
    await _withdrawn(world, pod, said)


async def test_when_the_claim_is_bound(world: World) -> None:
    """From containers-roadmap#1382: AWS looks once, and goes on saying "not bound"."""
    await world.add_subnet()
    await world.add_profile()
    wanted = {"accessModes": ["ReadWriteMany"], "storageClassName": "efs"}
    claim = {"resources": {"requests": {"storage": "1Gi"}}, **wanted}
    place = {"name": "data", "namespace": world.namespace}
    await world.admin.create(
        msgspec.convert({"metadata": place, "spec": claim}, PersistentVolumeClaim)
    )
    pod = await world.add_pod(
        volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    )
    said = await world.scheduled("POD_UNSUPPORTED_ON_FARGATE")
    assert said.endswith("v not supported because: PVC data not bound")
    volume = f"efs-{world.tag}"
    source = {"csi": {"driver": "efs.csi.aws.com", "volumeHandle": "fs-1"}}
    capacity = {"capacity": {"storage": "1Gi"}, "claimRef": place}
    await world.admin.create(
        msgspec.convert(
            {"metadata": {"name": volume}, "spec": {**wanted, **source, **capacity}},
            PersistentVolume,
        )
    )
    # What the volume controller does.
    await world.admin.patch(
        PersistentVolumeClaim, "data", {"spec": {"volumeName": volume}}, world.namespace
    )
    await world.admin.patch(
        PersistentVolumeClaim,
        "data",
        {"status": {"phase": "Bound"}},
        world.namespace,
        subresource="status",
    )
    await _withdrawn(world, pod, said)
