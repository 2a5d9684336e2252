"""The scheduler against a real API server; machines and kubelets are played."""

import msgspec
import pytest
from lightkube.resources.core_v1 import PersistentVolumeClaim, Pod

from monopod.api import keys
from monopod.api.conditions import FALSE, TRUE
from monopod.api.resources import Condition, MicroVM
from monopod.controllers.scheduler.provisioning_failures import ANNOTATION, failures_of
from monopod.kube import meta
from tests.scheduler.conftest import World, eventually

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("scheduler")]


@pytest.mark.row("S3")
async def test_a_pod_is_claimed_waited_for_and_bound(world: World) -> None:
    await world.add_subnet()
    await world.add_profile()
    pod = await world.add_pod(requests={"cpu": "250m", "memory": "1Gi"})
    machine = await world.claimed(pod)
    assert (machine.spec.milliCPU, machine.spec.memoryMiB) == (250, 2048)
    assert (machine.spec.profile, machine.spec.subnet) == (world.profile_name, world.subnet_name)
    assert meta(machine).finalizers == [keys.MACHINE_FINALIZER]
    message = await world.scheduled("Provisioning")
    assert f"{meta(machine).name} of 0.25 vCPU 2 GB" in message

    async def marked() -> Pod | None:
        found = await world.pod()
        return found if (meta(found).annotations or {}).get("CapacityProvisioned") else None

    found = await eventually(marked)
    assert meta(found).annotations == {
        "CapacityProvisioned": "0.25vCPU 2GB",
        "Logging": "LoggingDisabled: LOGGING_CONFIGMAP_NOT_FOUND",
    }
    assert meta(found).labels == {"eks.amazonaws.com/fargate-profile": world.profile_name}
    assert found.status is not None
    assert found.status.nominatedNodeName == meta(machine).name
    (event,) = await world.events("LoggingDisabled")
    assert event.type == "Warning"
    assert event.message == (
        "Disabled logging because aws-logging configmap was not found."
        ' configmap "aws-logging" not found'
    )
    node = await world.come_up(machine)
    assert await world.bound() == node
    (event,) = await world.events("Scheduled")
    assert (event.type, event.count) == ("Normal", 1)
    assert event.source.component == "fargate-scheduler"  # pyright: ignore[reportOptionalMemberAccess]
    assert event.message == f"Successfully assigned {world.namespace}/web-0 to {node}"
    assert not (await world.admin.list(type(event), world.namespace, fields="reason=Failed")).items


@pytest.mark.row("S8")
async def test_a_refused_pod_goes_on_when_its_profile_comes(world: World) -> None:
    await world.add_subnet()
    pod = await world.add_pod(
        metadata={"labels": {"eks.amazonaws.com/fargate-profile": world.profile_name}}
    )
    message = await world.scheduled("NamedProfileNotFound")
    assert world.profile_name in message
    (event,) = await world.events("FailedScheduling")
    assert (event.message, event.count) == (message, 1)
    await world.add_profile()
    machine = await world.claimed(pod)
    assert meta(await world.pod()).uid == meta(pod).uid
    assert await world.bound_to(machine)


@pytest.mark.row("S8")
async def test_a_refused_pod_goes_on_when_its_labels_change(world: World) -> None:
    await world.add_subnet()
    await world.add_profile()
    label = "eks.amazonaws.com/fargate-profile"
    pod = await world.add_pod(metadata={"labels": {label: "unknown"}})
    await world.scheduled("NamedProfileNotFound")
    await world.admin.patch(Pod, "web-0", {"metadata": {"labels": {label: None}}}, world.namespace)
    await world.claimed(pod)


@pytest.mark.row("S8")
async def test_a_refused_pod_goes_on_when_a_subnet_comes(world: World) -> None:
    await world.add_profile()
    pod = await world.add_pod()
    message = await world.scheduled("MisconfiguredFargateProfile")
    assert f"The subnet ID '{world.subnet_name}' does not exist" in message
    await world.add_subnet()
    await world.claimed(pod)


@pytest.mark.row("S18")
async def test_a_full_subnet_takes_the_next_pod_when_a_machine_goes(world: World) -> None:
    await world.add_subnet("192.168.1.0/28")
    await world.add_profile()
    pods = [await world.add_pod(f"web-{number}") for number in range(11)]
    machines = [await world.claimed(pod) for pod in pods]
    late = await world.add_pod("late")
    message = await world.scheduled("InsufficientFreeAddressesInSubnet", "late")
    assert f"{world.subnet_name} (0 free)" in message
    gone = meta(pods[0]).name or ""
    await world.admin.delete(Pod, gone, world.namespace, grace_period_s=0)
    await world.remove(machines[0])
    await world.claimed(late)
    (event,) = await world.events("FailedSchedulingResolved")
    assert event.message == f"Resolved: {message}"


async def test_what_cannot_run_is_refused_once(world: World) -> None:
    await world.add_subnet()
    await world.add_profile()
    await world.add_pod(hostPID=True)
    said = "Pod not supported on Fargate: fields not supported: HostPID"
    assert await world.scheduled("POD_UNSUPPORTED_ON_FARGATE") == said
    for number in range(3):
        labels = {"metadata": {"labels": {"turn": str(number)}}}
        await world.admin.patch(Pod, "web-0", labels, world.namespace)
    # A pod refused after it shows that the scheduler has looked at these changes.
    await world.add_pod("wide", requests={"cpu": "17"})
    await world.scheduled("POD_CPU_MEM_EXCEEDS_MAX_FARGATE_SIZE", "wide")
    events = await world.events("FailedScheduling", at_least=2)
    assert sorted((event.involvedObject.name, event.count) for event in events) == [
        ("web-0", 1),
        ("wide", 1),
    ]


async def test_a_failed_machine_is_reported_counted_and_replaced(world: World) -> None:
    await world.add_subnet()
    await world.add_profile()
    pod = await world.add_pod()
    first = await world.claimed(pod)
    ended = Condition("Terminated", TRUE, "RegistrationTimeout", "no kubelet in 120 s")
    await world.condition(first, Condition("Launched", FALSE), ended)
    message = await world.scheduled("ProvisioningFailed")
    assert message == (
        f"Pod provisioning timed out (will retry) for pod {world.namespace}/web-0:"
        " RegistrationTimeout: no kubelet in 120 s"
    )
    counted = failures_of(await world.pod())
    assert counted is not None
    assert (counted.attempts, counted.machine) == (1, meta(first).uid)
    await world.remove(first)
    second = await world.claimed(pod)
    assert meta(second).uid != meta(first).uid
    await world.scheduled("Provisioning")
    assert await world.bound_to(second)
    assert ANNOTATION in (meta(await world.pod()).annotations or {})


async def test_a_claim_is_looked_at_again_when_it_changes(world: World) -> None:
    """AWS looks once, and goes on saying "not bound" of what is bound by now."""
    await world.add_subnet()
    await world.add_profile()
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    await world.add_pod(volumes=volumes)
    message = await world.scheduled("POD_UNSUPPORTED_ON_FARGATE")
    assert message.endswith('v not supported because: persistentvolumeclaim "data" not found')
    claim = msgspec.convert(
        {
            "metadata": {"name": "data", "namespace": world.namespace},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        },
        PersistentVolumeClaim,
    )
    await world.admin.create(claim)

    async def counted() -> bool:
        return (await world.scheduled("POD_UNSUPPORTED_ON_FARGATE")).endswith("PVC data not bound")

    await eventually(counted)


async def test_a_pod_deleted_meanwhile_leaves_the_scheduler_at_peace(world: World) -> None:
    await world.add_subnet()
    await world.add_profile()
    pod = await world.add_pod()
    machine = await world.claimed(pod)
    await world.admin.delete(Pod, "web-0", world.namespace, grace_period_s=0)
    again = await world.add_pod()
    other = await world.claimed(again)
    assert meta(other).name != meta(machine).name
    assert await world.bound_to(other)


async def test_many_pods_get_one_machine_each(world: World) -> None:
    await world.add_subnet()
    await world.add_profile()
    pods = [await world.add_pod(f"web-{number}") for number in range(30)]
    machines = {meta(await world.claimed(pod)).name for pod in pods}
    assert len(machines) == 30
    listing = await world.admin.list(
        MicroVM, labels=f"eks.amazonaws.com/fargate-profile={world.profile_name}"
    )
    assert {meta(machine).name for machine in listing.items} == machines
