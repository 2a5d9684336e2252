from datetime import timedelta
from typing import Any

import pytest
from lightkube.models.core_v1 import PodStatus
from lightkube.resources.core_v1 import Pod
from lightkube.resources.node_v1 import RuntimeClass

from monopod.api.names import machine_name
from monopod.controllers.scheduler import log_routing, provisioning_failures, reasons
from monopod.controllers.scheduler.actions import (
    Bind,
    CountFailure,
    CreateMicroVM,
    MarkUnschedulable,
    NoAction,
    Requeue,
)
from monopod.controllers.scheduler.decide import decide
from tests.framework.builders import NODE, NOW, UID, node, pod, profile, subnet
from tests.scheduler.build import condition, machine, state

pytestmark = pytest.mark.unit


def claimed(wanted: Pod | None = None, **changes: Any) -> CreateMicroVM:
    action = decide(wanted or pod(), state(**changes))
    assert isinstance(action, CreateMicroVM)
    return action


def refused(action: object) -> tuple[str, str]:
    assert isinstance(action, MarkUnschedulable), action
    return action.reason, action.message


@pytest.mark.row("S3")
def test_a_pod_that_matches_gets_a_machine_of_its_size() -> None:
    wanted = pod(requests={"cpu": "500m", "memory": "750Mi", "ephemeral-storage": "100Gi"})
    action = decide(wanted, state())
    assert isinstance(action, CreateMicroVM)
    assert action.name == machine_name(UID)
    assert action.spec.podRef.uid == UID
    assert (action.spec.profile, action.spec.subnet) == ("fp", "private-a")
    assert (action.spec.milliCPU, action.spec.memoryMiB) == (500, 1024)
    assert action.spec.ephemeralStorageGiB == 115
    assert action.marks.annotations == {
        "CapacityProvisioned": "0.5vCPU 1GB",
        "Logging": "LoggingDisabled: LOGGING_CONFIGMAP_NOT_FOUND",
        "fargate.amazonaws.com/pod-sg": None,
    }
    assert action.marks.labels == {"eks.amazonaws.com/fargate-profile": "fp"}


def test_a_machine_name_is_derived_from_the_uid() -> None:
    assert machine_name("a") == "mvm-ca978112ca"


@pytest.mark.parametrize(
    "left_alone",
    [
        pod(schedulerName="default-scheduler"),
        pod(nodeName="elsewhere"),
        pod(schedulingGates=[{"name": "wait"}]),
        pod(metadata={"deletionTimestamp": NOW}),
    ],
)
def test_pods_that_are_not_to_be_placed_are_left_alone(left_alone: Any) -> None:
    assert decide(left_alone, state()) == NoAction()


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_finished_pods_are_left_alone(phase: str) -> None:
    done = pod()
    done.status = PodStatus(phase=phase)
    assert decide(done, state()) == NoAction()


@pytest.mark.row("S8")
def test_no_profile_matches() -> None:
    reason, message = refused(decide(pod(), state(profiles=[profile("other", "bank")])))
    assert reason == "NoProfileMatches"
    assert "other" in message
    assert "bank" in message


@pytest.mark.row("S8")
def test_a_named_profile_that_is_not_there() -> None:
    named = pod(metadata={"labels": {"eks.amazonaws.com/fargate-profile": "later"}})
    reason, message = refused(decide(named, state()))
    assert reason == "NamedProfileNotFound"
    assert "later" in message


def test_a_named_profile_that_does_not_match() -> None:
    named = pod(metadata={"labels": {"eks.amazonaws.com/fargate-profile": "bank"}})
    reason, message = refused(decide(named, state(profiles=[profile("bank", "bank"), profile()])))
    assert reason == "NamedProfileDoesNotMatch"
    assert "namespace shop is not bank" in message


def test_a_pod_that_opted_out() -> None:
    out = pod(metadata={"annotations": {"eks.amazonaws.com/compute-type": "ec2"}})
    assert refused(decide(out, state()))[0] == "OptedOut"


def test_a_pod_larger_than_the_table() -> None:
    assert refused(decide(pod(requests={"cpu": "17"}), state())) == (
        "POD_CPU_MEM_EXCEEDS_MAX_FARGATE_SIZE",
        "Your pod's cpu/memory requirements exceed the max Fargate configuration",
    )


def test_every_size_is_asked_for() -> None:
    """Whether a machine of a size can be run is for those to say who run machines."""
    spec = claimed(pod(requests={"cpu": "16", "memory": "119Gi"})).spec
    assert (spec.milliCPU, spec.memoryMiB) == (16000, 122880)


@pytest.mark.parametrize(
    ("of_pod", "of_profile", "driver"),
    [
        (None, None, ""),
        ("qemu", None, "qemu"),
        (None, "uml", "uml"),
        ("qemu-kvm", "uml", "qemu-kvm"),
        ("uml", "qemu-tcg", "uml"),
        ("", "qemu-kvm", "qemu-kvm"),
    ],
)
def test_a_driver_that_is_insisted_on(
    of_pod: str | None, of_profile: str | None, driver: str
) -> None:
    wanted = pod(metadata=_insisting(of_pod))
    action = claimed(wanted, profiles=[profile(**_insisting(of_profile))])
    assert action.spec.driver == driver


@pytest.mark.row("S5")
@pytest.mark.parametrize(
    ("of_pod", "of_profile", "hardware_only", "whose"),
    [
        ("qemu-tcg", "uml", False, "Fargate profile fp"),
        ("qemu", "qemu-kvm", False, "Fargate profile fp"),
        ("uml", None, True, "this cluster"),
        ("uml", "uml", True, "this cluster"),
        ("linux", "uml", False, "Fargate profile fp"),
    ],
)
def test_a_pod_gets_no_weaker_driver_than_its_profile_or_cluster_allows(
    of_pod: str, of_profile: str | None, hardware_only: bool, whose: str
) -> None:
    known = state(profiles=[profile(**_insisting(of_profile))], hardware_only=hardware_only)
    reason, message = refused(decide(pod(metadata=_insisting(of_pod)), known))
    assert reason == "WeakerDriver"
    assert message.endswith(f"the least that {whose} allows")


_SYSCTLS = {"sysctls": [{"name": "net.ipv4.tcp_fin_timeout", "value": "9"}]}


@pytest.mark.parametrize(
    ("fields", "of_profile", "driver"),
    [
        ({"hostUsers": False}, None, "linux"),
        ({"securityContext": _SYSCTLS}, None, "linux"),
        ({"hostUsers": True}, None, ""),
        ({"securityContext": {"sysctls": []}}, None, ""),
        ({"hostUsers": False}, "uml", "uml"),
        ({"hostUsers": False}, "qemu-kvm", "qemu-kvm"),
    ],
)
def test_a_pod_that_needs_what_gvisor_lacks_gets_a_linux_kernel(
    fields: dict[str, Any], of_profile: str | None, driver: str
) -> None:
    action = claimed(pod(**fields), profiles=[profile(**_insisting(of_profile))])
    assert action.spec.driver == driver


@pytest.mark.parametrize(
    ("fields", "lacks"),
    [
        ({"hostUsers": False}, "user namespaces (hostUsers: false)"),
        (
            {"securityContext": _SYSCTLS},
            "kernel parameters (sysctls: net.ipv4.tcp_fin_timeout)",
        ),
    ],
)
def test_such_a_pod_under_a_profile_of_gvisor_is_refused(
    fields: dict[str, Any], lacks: str
) -> None:
    known = state(profiles=[profile(**_insisting("gvisor"))])
    assert refused(decide(pod(**fields), known)) == (
        "DriverLacksFeature",
        f"Driver gvisor, which the pod or its profile requests, lacks {lacks}",
    )


@pytest.mark.row("S5")
@pytest.mark.parametrize(("of_profile", "driver"), [(None, "qemu-kvm"), ("uml", "qemu-kvm")])
def test_the_clusters_floor_is_every_pods(of_profile: str | None, driver: str) -> None:
    action = claimed(profiles=[profile(**_insisting(of_profile))], hardware_only=True)
    assert action.spec.driver == driver


@pytest.mark.parametrize(
    ("of_pod", "of_profile", "whose"),
    [("firecracker", "uml", "the pod"), (None, "firecracker", "Fargate profile fp")],
)
def test_unknown_driver_is_refused(of_pod: str | None, of_profile: str | None, whose: str) -> None:
    wanted = pod(metadata=_insisting(of_pod))
    assert refused(decide(wanted, state(profiles=[profile(**_insisting(of_profile))]))) == (
        "UnknownDriver",
        f"Annotation monopod.dev/driver of {whose} is 'firecracker'; valid values are"
        " uml, gvisor, qemu, qemu-tcg, qemu-kvm, linux",
    )


@pytest.mark.parametrize("reason", ["DriverUnavailable", "SizeUnsupported"])
def test_a_machine_that_the_host_has_no_driver_for(reason: str) -> None:
    made = machine(claimed(), condition("Launched", False, reason, "there is no KVM"))
    action = decide(pod(), state(machine=made))
    assert action == MarkUnschedulable(reason, "there is no KVM", record_event=False)


def _insisting(word: str | None) -> dict[str, Any]:
    return {} if word is None else {"annotations": {"monopod.dev/driver": word}}


def test_too_much_storage() -> None:
    action = decide(pod(requests={"ephemeral-storage": "176Gi"}), state())
    assert refused(action)[0] == "POD_EPHEMERAL_STORAGE_EXCEEDS_MAX_FARGATE_SIZE"


def test_unsupported_features_are_reported_before_sizes() -> None:
    reason, message = refused(decide(pod(requests={"cpu": "99"}, hostNetwork=True), state()))
    assert reason == "POD_UNSUPPORTED_ON_FARGATE"
    assert message == "Pod not supported on Fargate: fields not supported: HostNetwork"


@pytest.mark.parametrize(
    ("subnets", "named", "why"),
    [
        ([], ["gone"], "The subnet ID 'gone' does not exist"),
        (
            [subnet(internet="Gateway")],
            ["private-a"],
            "Subnet private-a provided in Fargate Profile is not a private subnet",
        ),
        ([subnet(internet="Gateway")], [], "There is no private subnet in this cluster"),
    ],
)
def test_no_subnet_can_be_used(subnets: list[Any], named: list[str], why: str) -> None:
    known = state(profiles=[profile("fp", "shop", *named)], subnets=subnets)
    assert refused(decide(pod(), known)) == (
        "MisconfiguredFargateProfile",
        f"Misconfigured Fargate Profile: fargate profile fp blocked for new launches due to: {why}",
    )


def test_full_subnets_are_named_with_what_they_have() -> None:
    known = state(
        subnets=[subnet("a", "192.168.1.0/28"), subnet("b", "192.168.2.0/24", available=0)],
        machines_by_subnet={"a": 11},
    )
    assert refused(decide(pod(), known)) == (
        "InsufficientFreeAddressesInSubnet",
        "No subnet of Fargate profile fp has a free address: a (0 free), b (0 free)",
    )


def test_selectors_that_the_profile_cannot_meet() -> None:
    assert refused(decide(pod(nodeSelector={"disk": "ssd"}), state())) == (
        "MatchNodeSelector",
        "MatchNodeSelector failed: Fargate profile fp cannot satisfy pod's node selector/affinity"
        " requirements",
    )


def test_a_machine_on_its_way_is_waited_for_and_its_marks_are_kept() -> None:
    claim = claimed()
    action = decide(pod(), state(machine=machine(claim, condition("Launched"))))
    assert action == Requeue(claim.marks)


@pytest.mark.parametrize(
    ("ready", "its_node"),
    [(False, node()), (True, None), (True, node(ready=False))],
)
def test_both_machine_and_node_must_be_ready(ready: bool, its_node: Any) -> None:
    made = machine(claimed(), condition("Ready", ready))
    assert isinstance(decide(pod(), state(machine=made, node=its_node)), Requeue)


def test_a_ready_node_gets_its_pod() -> None:
    claim = claimed()
    made = machine(claim, condition("Ready"))
    assert decide(pod(), state(machine=made, node=node())) == Bind(NODE, claim.marks)


def test_a_pod_with_a_machine_is_not_decided_again() -> None:
    claim = claimed()
    action = decide(pod(), state(profiles=[], subnets=[], machine=machine(claim)))
    assert action == Requeue(claim.marks)


@pytest.mark.parametrize("going", [False, True])
@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        (
            [condition("Terminated", True, "RegistrationTimeout", "no kubelet in 120 s")],
            "Pod provisioning timed out (will retry) for pod shop/web-0: RegistrationTimeout: no"
            " kubelet in 120 s",
        ),
        (
            [condition("Terminated", True, "GuestPanicked", "no init")],
            "Pod provisioning failed (will retry) for pod shop/web-0: GuestPanicked: no init",
        ),
    ],
)
def test_a_failed_machine_is_reported_and_counted_once(
    conditions: list[Any], said: str, going: bool
) -> None:
    made = machine(claimed(), *conditions, going=going)
    action = decide(pod(), state(machine=made))
    assert isinstance(action, CountFailure)
    assert action.message == said
    assert action.failures == provisioning_failures.Failures(1, "m-1", NOW + timedelta(seconds=1))
    counted = pod(
        metadata={"annotations": {provisioning_failures.ANNOTATION: action.failures.encode()}}
    )
    assert decide(counted, state(machine=made)) == Requeue()


def test_a_machine_deleted_under_a_waiting_pod_counts_as_failed() -> None:
    launched = condition("Launched", False, "LaunchFailed", "no kernel")
    action = decide(pod(), state(machine=machine(claimed(), launched, going=True)))
    assert isinstance(action, CountFailure)
    assert action.message.endswith("(will retry) for pod shop/web-0: LaunchFailed: no kernel")
    silent = decide(pod(), state(machine=machine(claimed(), condition("Launched"), going=True)))
    assert isinstance(silent, CountFailure)
    assert "was deleted before its node was ready" in silent.message


def test_the_next_machine_waits_for_its_time() -> None:
    failed = provisioning_failures.Failures(3, "m-1", NOW + timedelta(seconds=4))
    again = pod(metadata={"annotations": {provisioning_failures.ANNOTATION: failed.encode()}})
    assert decide(again, state()) == Requeue(again_s=4.0)
    assert isinstance(decide(again, state(now=NOW + timedelta(seconds=4))), CreateMicroVM)


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "{}",
        "null",
        '{"attempts":1,"machine":"m","retry_at":"2026-11-23T18:00:09"}',
        '{"attempts":true,"machine":"m","retry_at":"soon"}',
    ],
)
def test_an_annotation_that_a_hand_has_spoilt_counts_for_nothing(nonsense: str) -> None:
    spoilt = pod(metadata={"annotations": {provisioning_failures.ANNOTATION: nonsense}})
    assert isinstance(decide(spoilt, state()), CreateMicroVM)


def test_a_pod_that_was_resized_is_not_bound_to_a_machine_too_small_for_it() -> None:
    made = machine(claimed(), condition("Ready"))
    assert isinstance(decide(pod(), state(machine=made, node=node())), Bind)
    resized = pod(requests={"cpu": "300m"})
    assert isinstance(decide(resized, state(machine=made, node=node())), Requeue)


def test_what_is_said_of_logging_is_true() -> None:
    found = decide(pod(), state(logging=log_routing.routing(configured=True)))
    assert isinstance(found, CreateMicroVM)
    annotation = found.marks.annotations["Logging"]
    assert annotation == "LoggingDisabled: LOG_ROUTING_NOT_SUPPORTED"
    assert "ConfigMap aws-observability/aws-logging exists" in found.marks.logging.message
    assert claimed().marks.logging == log_routing.NOT_FOUND


def test_a_runtime_class_that_machines_do_not_serve() -> None:
    sandboxed = RuntimeClass(handler="runsc")
    action = decide(pod(runtimeClassName="gvisor"), state(classes={"gvisor": sandboxed}.get))
    assert refused(action)[0] == reasons.UNSUPPORTED
    served = state(classes={"plain": RuntimeClass(handler="runc")}.get)
    assert isinstance(decide(pod(runtimeClassName="plain"), served), CreateMicroVM)


def test_no_hand_can_keep_a_pod_waiting_for_ever() -> None:
    failed = provisioning_failures.Failures(1, "m-1", NOW + timedelta(days=4000))
    spoilt = pod(metadata={"annotations": {provisioning_failures.ANNOTATION: failed.encode()}})
    assert decide(spoilt, state()) == Requeue(again_s=300.0)


def test_pauses_double_up_to_five_minutes() -> None:
    failed, pauses = None, list[float]()
    for number in range(11):
        failed = provisioning_failures.after_failure(failed, f"m-{number}", NOW)
        pauses.append(failed.wait_s(NOW))
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_machine_without_room_to_run_says_so_on_the_pod() -> None:
    launched = condition("Launched", False, "CapacityUnavailable", "no memory left on the host")
    action = decide(pod(), state(machine=machine(claimed(), launched)))
    # The event is the scheduler's, which knows what was requested.
    assert action == MarkUnschedulable(
        reasons.NO_CAPACITY,
        "Fargate capacity is unavailable at this time. Please try again later or in a different"
        " availability zone: The pod needs 0 vCPU and 256 MiB of memory, including 256 MiB"
        " for the platform; it is provisioned 0.25 vCPU 0.5 GB; no memory left on the host",
    )


@pytest.mark.row("S21")
def test_a_machine_that_waits_for_a_cordoned_host_says_so_on_the_pod() -> None:
    launched = condition("Launched", False, "HostCordoned", "this host is cordoned")
    action = decide(pod(), state(machine=machine(claimed(), launched)))
    assert action == MarkUnschedulable(
        reasons.CORDONED,
        "Fargate capacity is unavailable at this time. Please try again later or in a different"
        " availability zone: this host is cordoned",
    )


def test_a_name_that_belongs_to_another_pod() -> None:
    other = machine(claimed())
    other.spec.podRef.uid = "another"
    assert refused(decide(pod(), state(machine=other)))[0] == "MachineNameTaken"


@pytest.mark.row("S18")
def test_a_machine_without_an_address_is_a_pod_that_waits_for_one() -> None:
    waits = machine(claimed(), condition("Addressed", False, "SubnetExhausted", "subnet a: full"))
    action = decide(pod(), state(machine=waits))
    assert action == MarkUnschedulable(reasons.NO_ADDRESS, "subnet a: full", record_event=False)
