"""Machines' lifecycle on a real API server, with the controller's own permissions."""

import asyncio
from datetime import UTC, datetime
from ipaddress import IPv4Address

import pytest
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.messages import CAPACITY_UNAVAILABLE
from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions, decide
from monopod.fargate.sizing import Size
from monopod.kube import meta
from monopod.node.provider import LaunchRequest
from tests.microvm.fakes import FakeMachine
from tests.microvm.world import IMAGE, SETTINGS, World, condition_of, eventually, status_of

pytestmark = pytest.mark.api

REGION = "local-1"


async def test_a_machine_is_launched_and_removed_with_its_pod(world: World) -> None:
    world.host.kubelet_started = datetime(2026, 11, 30, 6, 0, 1, 250_000, tzinfo=UTC)
    async with world.controller():
        pod = await world.pod()
        name = await world.claim(pod)
        machine = await world.condition(name, conditions.LAUNCHED)
        assert meta(machine).finalizers == [keys.MACHINE_FINALIZER]
        assert conditions.find(machine, conditions.READY) is None
        machine = await world.running(name)
        assert not world.host.machines[name].held
        await world.bind(pod, machine)

        async def held() -> bool:
            return world.host.machines[name].held

        await eventually(held, "the machine is held to its CPU")
        await world.admin.delete(Pod, "web", world.namespace, grace_period_s=0)
        await world.gone(name)
        assert await world.nodes() == []
    assert status_of(machine).kubeletStartTime == "2026-11-30T06:00:01.250000Z"
    times = [
        conditions.since(condition_of(machine, kind))
        for kind in ("Addressed", "Launched", "Registered", "Ready")
    ]
    assert times == sorted(times)
    assert any(time.microsecond for time in times)


@pytest.mark.row("S21")
async def test_a_machine_keeps_its_image_and_a_new_one_gets_the_clusters_newest(
    world: World,
) -> None:
    """Its kubelet is part of its image. A controller killed between launch and record records the
    image that was launched."""
    newer = SETTINGS.model_copy(update={"image": IMAGE.with_name("8899aabbccddeeff")})
    world.host.slow.clear()
    async with world.controller():
        first = await world.claim(await world.pod("first"))
        began = await world.condition(first, conditions.LAUNCHED, "False", "Launching")
    launched = LaunchRequest(
        first,
        Size(250, 512),
        20,
        IPv4Address(status_of(began).managementAddress),
        IPv4Address(status_of(began).podAddress),
    )
    world.host.machines[first] = FakeMachine(launched, running=True)
    world.host.slow.set()
    async with world.controller(newer):
        old = status_of(await world.condition(first, conditions.LAUNCHED))
        second = await world.claim(await world.pod("second"))
        new = status_of(await world.condition(second, conditions.LAUNCHED))
    assert (old.imageVersion, new.imageVersion) == (IMAGE.name, "8899aabbccddeeff")
    assert status_of(began).startTime == old.startTime < new.startTime


async def test_the_node_exists_before_its_kubelet_registers(world: World) -> None:
    async with world.controller():
        name = await world.claim(await world.pod())
        machine = await world.condition(name, conditions.LAUNCHED)
        (node,) = await world.nodes()
    address = status_of(machine).podAddress.replace(".", "-")
    host = f"ip-{address}.{REGION}.compute.internal"
    assert meta(node).name == status_of(machine).nodeName == f"fargate-{host}"
    labels = meta(node).labels or {}
    assert labels["kubernetes.io/hostname"] == host
    assert labels["eks.amazonaws.com/compute-type"] == "fargate"
    assert labels["topology.kubernetes.io/zone"] == "local-1a"
    assert labels["topology.kubernetes.io/region"] == REGION
    assert node.spec is not None
    assert node.spec.providerID == f"monopod:///local-1a/{name}/fargate-{host}"
    taints = [(taint.key, taint.value, taint.effect) for taint in node.spec.taints or ()]
    assert ("eks.amazonaws.com/compute-type", "fargate", "NoSchedule") in taints
    # Otherwise a kubelet whose watch lags rejects the pod that is bound to it.
    assert node.status is not None
    assert {each.type: each.address for each in node.status.addresses or ()} == {
        "InternalIP": status_of(machine).podAddress,
        "InternalDNS": host,
        "Hostname": host,
    }
    assert node.status.allocatable == {
        "cpu": "250m",
        "memory": "256Mi",
        "ephemeral-storage": "20Gi",
        "pods": "1",
    }


async def test_a_pod_deleted_during_the_launch_leaves_no_resources(world: World) -> None:
    world.host.slow.clear()
    async with world.controller():
        name = await world.claim(await world.pod())
        await world.condition(name, conditions.LAUNCHED, "False", "Launching")
        await world.admin.delete(Pod, "web", world.namespace)
        world.host.slow.set()
        await world.gone(name)
        assert await world.nodes() == []


async def test_a_kubelet_that_never_registers_times_out(world: World) -> None:
    async with world.controller(SETTINGS.model_copy(update={"registration_timeout_s": 0.2})):
        pod = await world.pod()
        name = await world.claim(pod)
        event = await world.event("Pod provisioning timed out (will retry) for pod")
        published = await world.event("last on its console: Run /sbin/init | kubelet: cannot", name)
        await world.gone(name)
        assert await world.nodes() == []
    assert published.reason == "RegistrationTimeout"
    assert "last on its console: Run /sbin/init" in (event.message or "")
    assert event.reason == "FailedScheduling"
    assert event.source is not None
    assert event.source.component == "fargate-scheduler"
    assert await world.find_pod() is not None


async def test_a_failed_launch_is_retried(world: World) -> None:
    world.host.refuses += ["no space left on device"]
    async with world.controller():
        name = await world.claim(await world.pod())
        await world.event("no space left on device")
        machine = await world.condition(name, conditions.LAUNCHED)
    assert status_of(machine).attempts == 2


async def test_a_worker_nodes_events_are_on_its_microvm(world: World) -> None:
    world.host.refuses += ["no space left on device"]
    async with world.controller():
        name = await world.claim_node("worker", "10.255.0.0/24")
        await world.event("no space left on device", name)
        event = await world.event("Started microVM", name)
        await world.admin.delete(MicroVM, name)
        await world.gone(name)
    assert (event.involvedObject.kind, event.reason) == ("MicroVM", "MicroVMStarted")


async def test_a_machine_whose_launches_keep_failing_is_abandoned(world: World) -> None:
    world.host.refuses += ["broken"] * 9
    async with world.controller(SETTINGS.model_copy(update={"attempts": 2})):
        name = await world.claim(await world.pod())
        event = await world.event("Pod provisioning timed out (will retry) for pod")
        await world.gone(name)
    assert "2 launches failed, the last one: broken" in (event.message or "")


async def test_a_machine_whose_launches_fail_at_once_is_abandoned(world: World) -> None:
    async with world.controller(SETTINGS.model_copy(update={"attempts": 2})):
        world.host.broken = "the disk is full"
        name = await world.claim(await world.pod())
        await world.event("2 launches failed, the last one: the disk is full")
        await world.gone(name)


async def test_a_machine_without_capacity_waits_for_it(world: World) -> None:
    world.host.room = 1
    async with world.controller():
        first = await world.claim(await world.pod("first"))
        await world.condition(first, conditions.LAUNCHED)
        second = await world.claim(await world.pod("second"))
        await world.condition(second, conditions.LAUNCHED, "False", "CapacityUnavailable")
        await world.admin.delete(Pod, "first", world.namespace)
        await world.condition(second, conditions.LAUNCHED)
        assert world.host.calls.count(second) == 2


@pytest.mark.row("S21")
async def test_a_machine_waits_while_the_host_is_cordoned_and_starts_at_once_afterwards(
    world: World,
) -> None:
    async with world.controller():
        first = await world.claim(await world.pod("first"))
        await world.condition(first, conditions.LAUNCHED)
        world.host.cordon()
        second = await world.claim(await world.pod("second"))
        await world.condition(second, conditions.LAUNCHED, "False", "HostCordoned")
        # Room that becomes free changes nothing.
        await world.admin.delete(Pod, "first", world.namespace)
        await world.gone(first)
        assert world.host.calls.count(second) == 1
        world.host.uncordon()
        await world.condition(second, conditions.LAUNCHED, timeout_s=decide.ROOM_S - 5)


@pytest.mark.row("S21")
async def test_a_worker_node_that_is_stopped_on_a_cordoned_host_comes_back(world: World) -> None:
    async with world.controller():
        name = await world.claim_node("worker", "192.168.255.0/24")
        machine = await world.running(name)
        world.host.cordon()
        await world.admin.delete(Node, status_of(machine).nodeName)
        await world.condition(name, conditions.LAUNCHED, "False", "HostCordoned")
        assert name not in world.host.machines
        world.host.uncordon()
        await world.condition(name, conditions.LAUNCHED)


async def test_lack_of_capacity_for_a_worker_node_is_an_event_on_its_microvm(world: World) -> None:
    # For a pod's machine, the scheduler publishes the event on the pod.
    world.host.room = 0
    async with world.controller():
        name = await world.claim_node("worker", "192.168.255.0/24")
        event = await world.event(f"{CAPACITY_UNAVAILABLE}: ", name)
    assert event.reason == "FailedScheduling"


async def test_an_unsupported_size_is_launched_once_supported(world: World) -> None:
    async with world.controller(SETTINGS.model_copy(update={"driver_retry_s": 0.2})):
        name = await world.claim(await world.pod(), milli_cpu=2000)
        await world.condition(name, conditions.LAUNCHED, "False", "SizeUnsupported")
        await world.event("at most 1 vCPU")
        world.host.max_milli_cpu = 2000
        await world.condition(name, conditions.LAUNCHED)


async def test_an_unavailable_driver_is_used_once_available(world: World) -> None:
    async with world.controller(SETTINGS.model_copy(update={"driver_retry_s": 0.2})):
        name = await world.claim(await world.pod(), driver="qemu-kvm")
        await world.condition(name, conditions.LAUNCHED, "False", "DriverUnavailable")
        await world.event("requested driver qemu-kvm is unavailable")
        world.host.lacks.clear()
        await world.condition(name, conditions.LAUNCHED)
        assert [each.driver for each in world.host.launches] == ["qemu-kvm"]


async def test_a_pod_without_an_available_driver_can_be_deleted(world: World) -> None:
    async with world.controller():
        name = await world.claim(await world.pod(), driver="qemu-kvm")
        await world.condition(name, conditions.LAUNCHED, "False", "DriverUnavailable")
        await world.admin.delete(Pod, "web", world.namespace)
        await world.gone(name)


@pytest.mark.parametrize("remembers", [True, False])
async def test_the_selected_driver_is_recorded_in_the_status(world: World, remembers: bool) -> None:
    world.host.remembers = remembers
    async with world.controller():
        name = await world.claim(await world.pod())
        machine = await world.condition(name, conditions.LAUNCHED)
        chosen = condition_of(machine, conditions.HARDWARE_VIRTUALIZED)
        assert (chosen.status, chosen.reason) == ("False", "KvmUnavailable")
        assert chosen.message == "runs under fake: there is no KVM"
        assert status_of(machine).driver == "fake"
        assert status_of(machine).conditions[-1].type == conditions.LAUNCHED


async def test_machines_boot_within_the_limit(world: World) -> None:
    async with world.controller(boots_at_once=1):
        first = await world.claim(await world.pod("first"))
        await world.condition(first, conditions.LAUNCHED)
        second = await world.claim(await world.pod("second"))
        await world.condition(second, conditions.LAUNCHED, "False", "Queued")
        await world.running(first)
        await world.condition(second, conditions.LAUNCHED)


async def test_a_machine_that_ends_while_it_boots_is_launched_again(world: World) -> None:
    async with world.controller():
        name = await world.claim(await world.pod())
        machine = await world.condition(name, conditions.LAUNCHED)
        await world.report(machine, ready=False)
        await world.condition(name, conditions.REGISTERED)
        world.host.end(name)
        await world.condition(name, conditions.LAUNCHED, "False", "GuestPanicked")
        machine = await world.condition(name, conditions.LAUNCHED)
        assert status_of(machine).attempts == 2
        assert not conditions.holds(machine, conditions.REGISTERED)
        await world.running(name)


@pytest.mark.row("S12")
async def test_the_pod_of_a_machine_that_ends_fails(world: World) -> None:
    async with world.controller():
        pod = await world.pod()
        name = await world.claim(pod)
        machine = await world.running(name)
        await world.bind(pod, machine)
        world.host.end(name, "GuestPanicked", "Kernel panic - not syncing: sysrq triggered crash")
        await world.gone(name)
        await world.event("sysrq triggered crash")
        published = await world.event("sysrq triggered crash", name)
        assert (published.reason, published.type) == ("GuestPanicked", "Warning")
        assert await world.nodes() == []
        lost = await world.find_pod()
    assert lost is not None
    assert lost.status is not None
    assert (lost.status.phase, lost.status.reason) == ("Failed", "MicroVMTerminated")
    by_type = {each.type: each.status for each in lost.status.conditions or ()}
    assert by_type["Ready"] == "False"
    assert by_type["DisruptionTarget"] == "True"
    container = (lost.status.containerStatuses or [])[0]
    assert container.state is not None
    assert container.state.terminated is not None
    assert container.state.terminated.exitCode == 137


async def test_a_terminating_pod_is_deleted_with_its_machine(world: World) -> None:
    async with world.controller():
        pod = await world.pod()
        name = await world.claim(pod)
        await world.bind(pod, await world.running(name))
        await world.admin.delete(Pod, "web", world.namespace, grace_period_s=600)
        world.host.end(name, "VmmKilled", "killed")
        await world.gone(name)

        async def pod_gone() -> bool:
            return await world.find_pod() is None

        await eventually(pod_gone, "the pod is gone")


@pytest.mark.parametrize("status", ["False", "Unknown"])
async def test_a_kubelet_that_stays_silent_is_replaced(world: World, status: str) -> None:
    async with world.controller(SETTINGS.model_copy(update={"unready_timeout_s": 0.3})):
        pod = await world.pod()
        name = await world.claim(pod)
        machine = await world.running(name)
        await world.bind(pod, machine)
        await world.report(machine, ready=False, status=status)
        await world.gone(name)
        await world.event("was not ready for")
        lost = await world.find_pod()
    assert lost is not None
    assert lost.status is not None
    assert lost.status.phase == "Failed"
    assert (lost.status.message or "").startswith("KubeletLost: ")


async def test_a_machine_that_hangs_is_replaced(world: World) -> None:
    """Detected by its kubelet's Lease alone, since the node controller may be down."""
    async with world.controller(SETTINGS.model_copy(update={"silent_timeout_s": 3.0})):
        pod = await world.pod()
        name = await world.claim(pod)
        machine = await world.running(name)
        await world.bind(pod, machine)
        last = await world.renew(machine)
        for _ in range(35):
            await asyncio.sleep(0.1)
            last = await world.renew(machine)
        assert await world.condition(name, conditions.READY)
        await world.gone(name)
        lost_event = await world.event(f"s: last renewed at {last}")
        assert "has not renewed its node's Lease for " in (lost_event.message or "")
        published = await world.event("last on its console: Run /sbin/init | kubelet: cannot", name)
        assert published.reason == "KubeletLost"
        lost = await world.find_pod()
    assert lost is not None
    assert lost.status is not None
    assert lost.status.phase == "Failed"
    assert (lost.status.message or "").startswith("KubeletLost: ")


async def test_a_kubelet_that_recovers_keeps_its_machine(world: World) -> None:
    async with world.controller():
        name = await world.claim(await world.pod())
        machine = await world.running(name)
        await world.report(machine, ready=False)
        await world.condition(name, conditions.READY, "False", "NodeNotReady")
        await world.report(machine, ready=True)
        await world.condition(name, conditions.READY)
        assert len(world.host.launches) == 1


async def test_deleting_a_microvm_fails_its_pod(world: World) -> None:
    async with world.controller():
        pod = await world.pod()
        name = await world.claim(pod)
        await world.bind(pod, await world.running(name))
        await world.admin.delete(MicroVM, name)
        await world.gone(name)
        lost = await world.find_pod()
    assert lost is not None
    assert lost.status is not None
    assert lost.status.phase == "Failed"
    assert (lost.status.message or "").startswith("MicroVMDeleted: ")


async def test_deleting_a_node_terminates_its_machine(world: World) -> None:
    async with world.controller():
        pod = await world.pod()
        name = await world.claim(pod)
        machine = await world.running(name)
        await world.bind(pod, machine)
        (node,) = await world.nodes()
        await world.admin.delete(type(node), meta(node).name or "")
        await world.gone(name)
        lost = await world.find_pod()
    assert lost is not None
    assert lost.status is not None
    assert lost.status.phase == "Failed"
    assert (lost.status.message or "").startswith("NodeDeleted: ")


async def test_a_pod_rejected_by_its_kubelet_releases_its_machine(world: World) -> None:
    async with world.controller():
        pod = await world.pod()
        name = await world.claim(pod)
        await world.bind(pod, await world.running(name), running=False)
        why = 'Pod was rejected: forbidden sysctl: "net.core.somaxconn" not allowlisted'
        rejected = {"phase": "Failed", "reason": "SysctlForbidden", "message": why}
        await world.pod_status(pod, rejected)
        event = await world.event(f"SysctlForbidden: {why}")
        await world.gone(name)
        assert await world.nodes() == []
        left = await world.find_pod()
    assert (event.reason, event.type) == ("MicroVMReleased", "Normal")
    assert left is not None
    assert left.status is not None
    assert (left.status.phase, left.status.reason) == ("Failed", "SysctlForbidden")


async def test_a_finished_pod_keeps_its_machine_until_it_is_deleted(world: World) -> None:
    async with world.controller():
        pod = await world.pod()
        name = await world.claim(pod)
        await world.bind(pod, await world.running(name))
        await world.pod_status(pod, {"phase": "Succeeded"})

        async def held() -> bool:
            return world.host.machines[name].held

        await eventually(held, "the pod's end is observed")
        assert await world.machine(name) is not None
        await world.admin.delete(Pod, "web", world.namespace)
        await world.gone(name)
