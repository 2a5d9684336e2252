"""The explanation of every state of a pod."""

import pytest

from monopod.api import keys
from monopod.controllers.scheduler import reasons
from monopod.explain import Warned, refusal
from tests.explain.cases import (
    BORN,
    MACHINE,
    NODE,
    NOW,
    explained,
    lines,
    machine,
    node,
    pod,
    profile,
    subnet,
    turned,
)

pytestmark = pytest.mark.unit

IN_SHOP = {"namespace": "shop"}
MARKED = {keys.PROFILE_LABEL: "fp"}


def test_a_running_pod() -> None:
    found = explained(
        pod(
            labels=MARKED,
            annotations={"CapacityProvisioned": "0.25vCPU 0.5GB"},
            nodeName=NODE,
            status={"phase": "Running"},
            conditions=[
                turned("PodScheduled", "2026-11-23T12:00:06Z"),
                turned("Initialized", "2026-11-23T12:00:06Z"),
                turned("Ready", "2026-11-23T12:00:08Z"),
            ],
        ),
        profile("fp", IN_SHOP, subnets=("private-a", "private-b")),
        profile("other", IN_SHOP),
        profile("zeta", {"namespace": "prod", "labels": {"app": "x"}}),
        subnets=(subnet("private-a"), subnet("private-b", "192.168.1.0/24")),
        of_machine=machine(
            nodeName=NODE,
            podAddress="192.168.0.9",
            managementAddress="100.64.0.7",
            driver="uml",
            attempts=1,
            conditions=[
                turned("Addressed", "2026-11-23T12:00:01.250Z"),
                turned("Launched", "2026-11-23T12:00:01.400Z"),
                turned("Registered", "2026-11-23T12:00:05.100Z"),
                turned("Ready", "2026-11-23T12:00:05.600Z"),
            ],
        ),
        of_node=node(),
    )
    assert found.headline == f"shop/web: Running, ready, on {NODE}"
    assert found.answer == f"It has its own microVM, {MACHINE}, which is its node."
    assert lines(found, "Profiles") == [
        "✓ fp matches, and is the alphanumerically first match",
        "  ✓ selector 1 (namespace shop) matches",
        "· other matches too",
        "  ✓ selector 1 (namespace shop) matches",
        "· zeta does not match",
        "  · selector 1 (namespace prod, app=x): namespace shop is not prod,"
        " the pod has no label app",
    ]
    assert lines(found, "Size") == [
        "· cpu: nothing requested",
        "· memory: nothing requested + 256 MiB (platform) = 256 MiB",
        "✓ smallest vCPU, and with it the smallest memory, for both: 0.25 vCPU 0.5 GB",
        "· ephemeral storage: nothing requested; with 10 % of it and 5 GiB for the platform,"
        " and 20 GiB at least, provisioned 20 GiB",
        "✓ CapacityProvisioned: 0.25vCPU 0.5GB",
    ]
    assert lines(found, "Subnet") == [
        "· profile fp names private-a, private-b",
        "✓ private-a (192.168.0.0/24, local-1a, 240 addresses free): chosen, address 192.168.0.9",
        "· private-b (192.168.1.0/24, local-1a, 240 addresses free)",
    ]
    assert lines(found, "Start") == [
        "✓ 12:00:00    0   s  pod created",
        "✓ 12:00:01    1   s  machine created",
        "✓ 12:00:01    1.2 s  machine addressed",
        "✓ 12:00:01    1.4 s  machine launched",
        "✓ 12:00:05    5.1 s  kubelet registered",
        "✓ 12:00:05    5.6 s  node ready",
        "✓ 12:00:06    6   s  pod bound",
        "✓ 12:00:08    8   s  pod ready",
        "· times without a fraction are the API server's, truncated to seconds",
    ]
    assert lines(found, "Blockers") == []


def test_the_arithmetic_names_every_share() -> None:
    requests = {"cpu": "200m", "memory": "700Mi", "ephemeral-storage": "100Gi"}
    found = explained(
        pod(
            labels=MARKED,
            containers=[
                {"name": "main", "resources": {"requests": requests}},
                {"name": "quiet"},
            ],
            initContainers=[
                {
                    "name": "proxy",
                    "restartPolicy": "Always",
                    "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}},
                }
            ],
        ),
        profile("fp", IN_SHOP),
    )
    assert lines(found, "Size") == [
        "· cpu: 0.1 vCPU (proxy, restartable init container) + 0.2 vCPU (main) = 0.3 vCPU",
        "· memory: 100 MiB (proxy, restartable init container) + 700 MiB (main)"
        " + 256 MiB (platform) = 1056 MiB",
        "✓ smallest vCPU, and with it the smallest memory, for both: 0.5 vCPU 2 GB",
        "· ephemeral storage: 100 GiB (main); with 10 % of it and 5 GiB for the platform,"
        " and 20 GiB at least, provisioned 115 GiB",
    ]


@pytest.mark.parametrize(
    ("memory", "mark", "said"),
    [
        ("100Mi", "✓", "the pod was resized since it was scheduled, and its machine has enough for"
         " its current requests"),
        ("2Gi", "✗", "the pod's requests have changed since it was scheduled, but a machine's size"
         " is fixed"),
    ],
)  # fmt: skip
def test_a_pod_that_was_resized(memory: str, mark: str, said: str) -> None:
    resources = {"requests": {"cpu": "100m", "memory": memory}}
    made = machine()
    made.spec.memoryMiB = 2048
    pending = {"reason": "Infeasible", "message": "Node didn't have enough capacity"}
    found = explained(
        pod(
            labels=MARKED,
            annotations={"CapacityProvisioned": "0.25vCPU 2GB"},
            containers=[{"name": "main", "resources": resources}],
            conditions=[turned("PodResizePending", BORN, **pending)] if memory == "2Gi" else [],
        ),
        profile("fp", IN_SHOP),
        of_machine=made,
    )
    size = lines(found, "Size")
    assert f"{mark} CapacityProvisioned: 0.25vCPU 2GB - {said}" in size
    pending_said = "✗ PodResizePending: Infeasible: Node didn't have enough capacity"
    assert (pending_said in size) == (memory == "2Gi")


@pytest.mark.row("S8")
def test_a_refusal_has_a_remedy() -> None:
    message = "Your pod's cpu/memory requirements exceed the max Fargate configuration"
    found = explained(
        pod(
            labels=MARKED,
            containers=[{"name": "main", "resources": {"requests": {"cpu": "17"}}}],
            conditions=[
                turned(
                    "PodScheduled",
                    BORN,
                    "False",
                    reason="POD_CPU_MEM_EXCEEDS_MAX_FARGATE_SIZE",
                    message=message,
                )
            ],
        ),
        profile("fp", IN_SHOP),
        warnings=(Warned(NOW, "FailedScheduling", message, 3, "fargate-scheduler"),),
    )
    assert found.answer == f"It cannot start: {message}."
    assert "✗ no size is large enough; the largest is 16 vCPU 120 GB" in lines(found, "Size")
    assert lines(found, "Blockers") == [
        f"✗ POD_CPU_MEM_EXCEEDS_MAX_FARGATE_SIZE: {message}",
        "  → lower the containers' requests, or opt the pod out of Fargate",
    ]


def test_every_reason_has_a_remedy() -> None:
    ways = set(refusal.WAYS_OUT)
    assert ways >= reasons.UNSCHEDULABLE
    assert ways - reasons.UNSCHEDULABLE == {reasons.PROVISIONING_FAILED, "Unschedulable"}


def test_a_starting_machine() -> None:
    found = explained(
        pod(
            labels=MARKED,
            conditions=[
                turned("PodScheduled", BORN, "False", reason="Provisioning", message="a machine")
            ],
        ),
        profile("fp", IN_SHOP),
        subnets=(subnet("private-a"),),
        of_machine=machine(
            nodeName=NODE, conditions=[turned("Launched", "2026-11-23T12:00:01.400Z")]
        ),
    )
    assert found.answer == f"Its microVM {MACHINE} is starting: it is booting."
    assert lines(found, "Start")[-1] == "· next: machine addressed"
    assert f"· node {NODE}: does not exist" in lines(found, "Machine")


def test_a_machine_that_cannot_be_launched() -> None:
    found = explained(
        pod(labels=MARKED),
        profile("fp", IN_SHOP),
        of_machine=machine(
            attempts=2,
            driver="uml",
            conditions=[
                turned("Addressed", "2026-11-23T12:00:01.400Z"),
                turned("Launched", BORN, "False", reason="JailFailed", message="no user namespace"),
            ],
        ),
    )
    assert "✗ Launched: JailFailed: no user namespace" in lines(found, "Machine")
    assert "· driver uml, 2 launches" in lines(found, "Machine")
    assert lines(found, "Start")[-1] == "· next: machine launched: JailFailed: no user namespace"


def test_a_machine_that_the_controller_has_not_processed() -> None:
    of_machine = machine()
    of_machine.status = None
    found = explained(pod(labels=MARKED), profile("fp", IN_SHOP), of_machine=of_machine)
    assert "· the MicroVM controller has not processed it yet" in lines(found, "Machine")


def test_a_pod_that_the_scheduler_has_not_processed() -> None:
    found = explained(pod(), profile("fp", IN_SHOP))
    assert found.answer == "fargate-scheduler has not processed it yet."
    said = lines(found, "Scheduler")
    assert any("the webhook has not mutated this pod" in line for line in said)
    assert any("monopod status" in line for line in said)
    assert lines(found, "Machine") == ["· there is no MicroVM for this pod yet"]


def test_a_pod_of_the_runtime_class_that_no_profile_selects() -> None:
    elsewhere = {"namespace": "*", "labels": {"monopod.dev/runtime-class": "kata"}}
    found = explained(pod(runtimeClassName="monopod"), profile("fp", elsewhere))
    said = lines(found, "Profiles")
    assert any("label monopod.dev/runtime-class is monopod, not kata" in line for line in said)
    assert not any("webhook" in line for line in lines(found, "Scheduler"))


def test_scheduling_gates() -> None:
    found = explained(
        pod(
            labels=MARKED,
            schedulingGates=[{"name": "example.com/hold"}],
            conditions=[turned("PodScheduled", BORN, "False", reason="SchedulingGated")],
        ),
        profile("fp", IN_SHOP),
    )
    assert found.answer == "It waits for its scheduling gates to be removed."
    assert lines(found, "Blockers")[0] == "✗ scheduling gate example.com/hold"


def test_a_pod_that_no_profile_selects() -> None:
    found = explained(
        pod(schedulerName="default-scheduler", nodeName="worker"),
        profile("fp", {"namespace": "prod"}),
    )
    assert found.answer == (
        "It is on the worker node worker, not on a microVM:"
        " no Fargate profile matches the pod: fp does not (namespace shop is not prod)."
    )
    assert lines(found, "Size") == []
    assert lines(found, "Subnet") == []
    assert lines(found, "Machine") == []


def test_a_pod_that_opts_out() -> None:
    found = explained(
        pod(
            schedulerName="default-scheduler",
            annotations={keys.COMPUTE_TYPE_KEY: "ec2"},
            conditions=[
                turned(
                    "PodScheduled", BORN, "False", reason="Unschedulable", message="0/0 nodes are"
                )
            ],
        ),
        profile("fp", IN_SHOP),
    )
    assert found.answer == (
        "It waits for a worker node, not on a microVM: the pod's annotation"
        " eks.amazonaws.com/compute-type: ec2 keeps it off Fargate."
    )
    assert lines(found, "Blockers")[0] == "✗ Unschedulable: 0/0 nodes are"
    assert lines(found, "Profiles")[0] == "· fp matches, and is the alphanumerically first match"
    assert "keeps it off Fargate, whichever profiles match" in lines(found, "Scheduler")[1]


@pytest.mark.parametrize(
    ("born", "why"),
    [
        ("2026-11-23T12:00:05Z", "is younger than the pod"),
        ("2026-11-23T11:00:00Z", "Monopod's webhook did not answer"),
    ],
)
def test_a_worker_node_s_pod_that_a_profile_selects(born: str, why: str) -> None:
    found = explained(pod(schedulerName="default-scheduler"), profile("fp", IN_SHOP, born=born))
    assert why in found.answer
    assert lines(found, "Scheduler")[-1].startswith("→ delete the pod")


def test_a_label_of_a_profile_that_is_not_first() -> None:
    found = explained(
        pod(labels={keys.PROFILE_LABEL: "late"}),
        profile("early", IN_SHOP),
        profile("late", IN_SHOP),
    )
    said = lines(found, "Profiles")
    assert said[0] == "· early matches and would be first, but the pod's label names late"
    assert said[2] == (
        "✓ late matches, and the pod's label eks.amazonaws.com/fargate-profile names it"
    )


def test_a_label_of_an_unknown_profile() -> None:
    found = explained(pod(labels={keys.PROFILE_LABEL: "gone"}), profile("fp", {"namespace": "x"}))
    assert lines(found, "Profiles")[-1] == "✗ gone, which the pod's label names, does not exist"


def test_no_profiles_at_all() -> None:
    found = explained(pod(schedulerName="default-scheduler"))
    assert lines(found, "Profiles") == ["✗ there is no FargateProfile in this cluster"]


def test_containers_that_fail_and_warnings() -> None:
    found = explained(
        pod(
            labels=MARKED,
            nodeName=NODE,
            status={
                "phase": "Running",
                "containerStatuses": [
                    {
                        "name": "main", "image": "", "imageID": "",
                        "ready": False, "restartCount": 3,
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                    }
                ],
            },
        ),
        profile("fp", IN_SHOP),
        warnings=tuple(Warned(NOW, "BackOff", f"again {n}", 1, "kubelet") for n in range(7)),
    )  # fmt: skip
    assert found.headline == f"shop/web: Running, not ready, on {NODE}"
    assert lines(found, "Blockers") == [
        "✗ container main waits, CrashLoopBackOff: back-off",
        "✗ container main ended with 137 (OOMKilled)",
    ]
    assert lines(found, "Warnings") == [
        *(f"· 12:00:30 kubelet: BackOff: again {n}" for n in range(5)),
        "· and 2 older warnings",
    ]
    assert lines(found, "Machine") == ["✗ there is no MicroVM for this pod any more"]


def test_a_pod_that_has_ended() -> None:
    found = explained(
        pod(labels=MARKED, status={"phase": "Failed", "reason": "VmmKilled", "message": "by hand"}),
        profile("fp", IN_SHOP),
    )
    assert found.answer == "It has ended. VmmKilled: by hand."


def test_invalid_quantities() -> None:
    found = explained(
        pod(
            labels=MARKED,
            containers=[{"name": "main", "resources": {"requests": {"cpu": "lots"}}}],
        ),
        profile("fp", IN_SHOP),
    )
    assert lines(found, "Size")[0].startswith("✗ 'lots' is not a quantity")


def test_unusable_subnets() -> None:
    found = explained(
        pod(labels=MARKED),
        profile("fp", IN_SHOP, subnets=("gone", "open")),
        subnets=(subnet("open", internet="Gateway"),),
    )
    assert lines(found, "Subnet") == [
        "· profile fp names gone, open",
        "✗ The subnet ID 'gone' does not exist",
        "✗ Subnet open provided in Fargate Profile is not a private subnet",
        "  → create a private Subnet, or another profile: a profile is immutable",
    ]
