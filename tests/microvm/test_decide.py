"""A machine's next action, by a table of states."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from monopod.api.resources import Condition, MicroVM
from monopod.controllers.microvm import actions
from monopod.controllers.microvm.decide import Limits, decide
from monopod.controllers.microvm.state import ANY_POD, LeaseSilence, NodeState, PodState, State
from monopod.node.provider import MachineExit, Presence
from tests.microvm.build import (
    ADDRESSED,
    LAUNCHED,
    NODE,
    NOW,
    READY,
    REGISTERED,
    facts,
    machine,
    state,
)

pytestmark = pytest.mark.unit

LIMITS = Limits()
RUNNING, REMAINS = Presence.RUNNING, Presence.REMAINS
SILENT = NodeState(ours=True)
STARTING = NodeState(ours=True, registered=True, why="KubeletNotReady: not yet")
UP = NodeState(ours=True, registered=True, ready=True)
FOREIGN = NodeState(ours=False, registered=True, ready=True)
BOUND = PodState(node=NODE)
FAILED = state("Launched", "False", "LaunchFailed", "no space")
LAUNCHING = state("Launched", "False", "Launching")
NO_ROOM = state("Launched", "False", "CapacityUnavailable")
LOST = state("Terminated", "True", "GuestPanicked", "it panicked")
UNREADY = state("Ready", "False", "NodeNotReady", age_s=10)


def _worker_node(*states: Condition) -> MicroVM:
    made = machine(*states)
    spec = msgspec.structs.replace(
        made.spec, purpose="WorkerNode", podCIDR="192.168.255.0/24", profile=""
    )
    return msgspec.structs.replace(made, spec=spec)


def _silent(silence: LeaseSilence) -> State:
    ready = machine(ADDRESSED, LAUNCHED, REGISTERED, READY)
    return replace(facts(ready, presence=RUNNING, node=UP), silence=silence)


CASES: dict[str, tuple[State, object]] = {
    "a worker node that was lost": (
        facts(_worker_node(ADDRESSED, LAUNCHED, REGISTERED, UNREADY, LOST), pod=ANY_POD),
        actions.Relaunch("GuestPanicked", "it panicked"),
    ),
    "a worker node that is relaunched": (
        facts(
            _worker_node(ADDRESSED, state("Launched", "False", "GuestPanicked", age_s=5)),
            pod=ANY_POD,
            node=UP,
        ),
        actions.DeleteNode(),
    ),
    # Before the launch.
    "new": (facts(machine(finalizer=False)), actions.AddFinalizer()),
    "finalizer set": (facts(machine()), actions.AllocateAddress()),
    "resources of an earlier MicroVM": (
        facts(machine(), presence=RUNNING),
        actions.Terminate("it belongs to an earlier MicroVM of this name"),
    ),
    "no address yet": (
        facts(machine(state("Addressed", "False", "SubnetExhausted"))),
        actions.AllocateAddress(),
    ),
    "no address for too long": (
        facts(machine(state("Addressed", "False", "SubnetExhausted", "full", age_s=20))),
        actions.Delete("SubnetExhausted", "full"),
    ),
    "an address that another MicroVM holds": (
        replace(facts(machine(ADDRESSED)), addresses_held=False),
        actions.AllocateAddress(),
    ),
    "addressed": (facts(machine(ADDRESSED)), actions.Launch()),
    "boot limit reached": (
        replace(facts(machine(ADDRESSED)), may_boot=False),
        actions.MarkQueued(),
    ),
    "queued for the boot limit": (
        replace(facts(machine(ADDRESSED, state("Launched", "False", "Queued"))), may_boot=False),
        actions.Requeue("for the boot limit"),
    ),
    "a Node of its name with another owner": (
        facts(machine(ADDRESSED), node=FOREIGN),
        actions.DeleteNode(),
    ),
    "its Node is created": (facts(machine(ADDRESSED), node=SILENT), actions.Launch()),
    "an earlier kubelet's report": (facts(machine(ADDRESSED), node=UP), actions.DeleteNode()),
    # A launch that the process died before recording.
    "killed before the start": (facts(machine(ADDRESSED, LAUNCHING, attempts=1)), actions.Launch()),
    "killed in the middle": (
        facts(machine(ADDRESSED, LAUNCHING, attempts=1), presence=REMAINS),
        actions.Terminate("it is left from an earlier attempt"),
    ),
    "killed after the start": (
        facts(machine(ADDRESSED, LAUNCHING, attempts=1), presence=RUNNING),
        actions.MarkLaunched(),
    ),
    # Launches that failed.
    "failed just now": (
        facts(machine(ADDRESSED, FAILED, attempts=2)),
        actions.Requeue("before the next launch", NOW + timedelta(seconds=2)),
    ),
    "failed a while ago": (
        facts(machine(ADDRESSED, FAILED, attempts=2), now=NOW + timedelta(seconds=2)),
        actions.Launch(),
    ),
    "failed, but runs": (
        facts(machine(ADDRESSED, FAILED, attempts=1), presence=RUNNING),
        actions.Terminate("it is left from an earlier attempt"),
    ),
    "failed too often": (
        facts(machine(ADDRESSED, FAILED, attempts=4)),
        actions.MarkTerminated(
            "LaunchFailed", "4 launches failed, the last one: no space", timed_out=True
        ),
    ),
    "no capacity": (
        facts(machine(ADDRESSED, NO_ROOM, attempts=9)),
        actions.Requeue("for capacity", NOW + timedelta(seconds=LIMITS.room_s)),
    ),
    "capacity became free": (
        replace(facts(machine(ADDRESSED, NO_ROOM, attempts=9)), room_at=NOW + timedelta(seconds=1)),
        actions.Launch(),
    ),
    "no such size": (
        facts(machine(ADDRESSED, state("Launched", "False", "SizeUnsupported"), attempts=9)),
        actions.Requeue("for a driver on this host", NOW + timedelta(seconds=LIMITS.driver_s)),
    ),
    "no such driver, a while ago": (
        facts(
            machine(ADDRESSED, state("Launched", "False", "DriverUnavailable", age_s=60)),
            now=NOW,
        ),
        actions.Launch(),
    ),
    "refused again": (
        replace(
            facts(machine(ADDRESSED, state("Launched", "False", "DriverUnavailable", age_s=60))),
            refused_at=NOW,
        ),
        actions.Requeue("for a driver on this host", NOW + timedelta(seconds=LIMITS.driver_s)),
    ),
    "no capacity again, none freed since": (
        replace(
            facts(machine(ADDRESSED, state("Launched", "False", "CapacityUnavailable", age_s=60))),
            refused_at=NOW,
            room_at=NOW - timedelta(seconds=30),
        ),
        actions.Requeue("for capacity", NOW + timedelta(seconds=LIMITS.room_s)),
    ),
    # From the launch to a ready node.
    "boots": (
        facts(machine(ADDRESSED, LAUNCHED), presence=RUNNING, node=SILENT),
        actions.Requeue(
            "for its kubelet to report", NOW + timedelta(seconds=LIMITS.registration_s)
        ),
    ),
    "kubelet reports": (
        facts(machine(ADDRESSED, LAUNCHED), presence=RUNNING, node=STARTING),
        actions.MarkRegistered(),
    ),
    "registered": (
        facts(machine(ADDRESSED, LAUNCHED, REGISTERED), presence=RUNNING, node=STARTING),
        actions.Requeue(
            "for its node to become ready", NOW + timedelta(seconds=LIMITS.registration_s)
        ),
    ),
    "node ready": (
        facts(machine(ADDRESSED, LAUNCHED, REGISTERED), presence=RUNNING, node=UP),
        actions.MarkReady(True, "KubeletReady", "its node is ready"),
    ),
    "kubelet never reports": (
        facts(
            machine(ADDRESSED, LAUNCHED),
            presence=RUNNING,
            node=SILENT,
            now=NOW + timedelta(seconds=LIMITS.registration_s),
        ),
        actions.MarkTerminated(
            "RegistrationTimeout", "its kubelet did not report within 120 s", timed_out=True
        ),
    ),
    "node never ready": (
        facts(
            machine(ADDRESSED, LAUNCHED, REGISTERED),
            presence=RUNNING,
            node=STARTING,
            now=NOW + timedelta(seconds=LIMITS.registration_s),
        ),
        actions.MarkTerminated(
            "ReadyTimeout",
            "its node was not ready within 120 s: KubeletNotReady: not yet",
            timed_out=True,
        ),
    ),
    "ends while it boots": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED), presence=REMAINS),
            ended=MachineExit("x", "GuestPanicked", "it panicked"),
        ),
        actions.MarkLaunchFailed("GuestPanicked", "it panicked"),
    ),
    # A ready machine.
    "idle": (
        facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
        actions.Requeue("for its pod"),
    ),
    "pod starts": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True),
        ),
        actions.EndBootBurst(),
    ),
    "pod runs": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True),
            burst_ended=True,
        ),
        actions.Requeue("for its pod"),
    ),
    "pod terminates": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True, deadline=NOW + timedelta(seconds=1)),
            burst_ended=True,
        ),
        actions.Requeue("for its pod's grace period to end", NOW + timedelta(seconds=1)),
    ),
    "pod terminates before it started": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True, deadline=NOW + timedelta(seconds=1)),
        ),
        actions.EndBootBurst(),
    ),
    "pod's grace period ended": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True, deadline=NOW),
            burst_ended=True,
        ),
        actions.ResumeBurst(),
    ),
    "pod ended before its grace period": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(
                BOUND, started=True, ran=True, finished=True, deadline=NOW + timedelta(seconds=20)
            ),
            burst_ended=True,
        ),
        actions.ResumeBurst(),
    ),
    "pod is torn down": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True, deadline=NOW - timedelta(seconds=1)),
        ),
        actions.Requeue("for its pod's teardown", NOW + timedelta(seconds=LIMITS.burst_s - 1)),
    ),
    "pod's teardown takes too long": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True, deadline=NOW - timedelta(seconds=LIMITS.burst_s)),
        ),
        actions.EndBootBurst(),
    ),
    "init containers run": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, first_ran=NOW),
        ),
        actions.Requeue("for its pod to start", NOW + timedelta(seconds=LIMITS.burst_s)),
    ),
    "init containers run for too long": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, first_ran=NOW - timedelta(seconds=LIMITS.burst_s)),
        ),
        actions.EndBootBurst(),
    ),
    "node unready": (
        facts(
            machine(ADDRESSED, LAUNCHED, REGISTERED, READY),
            presence=RUNNING,
            node=STARTING,
            pod=BOUND,
        ),
        actions.MarkReady(False, "NodeNotReady", "KubeletNotReady: not yet"),
    ),
    "node unready for a while": (
        facts(machine(ADDRESSED, LAUNCHED, REGISTERED, UNREADY), presence=RUNNING, node=STARTING),
        actions.Requeue("for its node to recover", NOW + timedelta(seconds=LIMITS.unready_s - 10)),
    ),
    "node unready too long": (
        facts(
            machine(ADDRESSED, LAUNCHED, REGISTERED, UNREADY),
            presence=RUNNING,
            node=STARTING,
            now=NOW + timedelta(seconds=LIMITS.unready_s - 10),
        ),
        actions.MarkTerminated(
            "KubeletLost", "its node was not ready for 60 s: KubeletNotReady: not yet"
        ),
    ),
    "node recovers": (
        facts(machine(ADDRESSED, LAUNCHED, REGISTERED, UNREADY), presence=RUNNING, node=UP),
        actions.MarkReady(True, "KubeletReady", "its node is ready"),
    ),
    "node deleted": (
        facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING),
        actions.MarkTerminated("NodeDeleted", "its Node object was deleted"),
    ),
    "node replaced": (
        facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=FOREIGN),
        actions.MarkTerminated("NodeReplaced", "its Node was replaced by another one of its name"),
    ),
    "vanished": (
        facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), node=UP, pod=BOUND),
        actions.MarkTerminated("MachineVanished", "its processes vanished from the host"),
    ),
    # A kubelet that does not renew its Lease.
    "Lease renewed": (
        _silent(LeaseSilence(5)),
        actions.Requeue("for its pod", NOW + timedelta(seconds=15)),
    ),
    "silent for a while": (_silent(LeaseSilence(20)), actions.ConfirmLease()),
    "silent, confirmed by the API server": (
        _silent(LeaseSilence(21, doubted_s=1, asked_s=1)),
        actions.Requeue("for its pod", NOW + timedelta(seconds=19)),
    ),
    "silent while the API server was unavailable": (
        _silent(LeaseSilence(300)),
        actions.ConfirmLease(),
    ),
    "silent, the API server having just returned": (
        _silent(LeaseSilence(301, doubted_s=1, asked_s=1)),
        actions.Requeue("for its pod", NOW + timedelta(seconds=19)),
    ),
    "silent for long": (
        _silent(LeaseSilence(40, doubted_s=20, asked_s=20)),
        actions.ConfirmLease(),
    ),
    "silent for good": (
        _silent(LeaseSilence(40, last=NOW - timedelta(seconds=41), doubted_s=20, asked_s=0)),
        actions.MarkTerminated(
            "KubeletLost",
            "its kubelet has not renewed its node's Lease for 40 s: last renewed at 17:59:19 UTC",
        ),
    ),
    "silent from the start": (
        _silent(LeaseSilence(45, doubted_s=25, asked_s=0)),
        actions.MarkTerminated(
            "KubeletLost", "its kubelet has not renewed its node's Lease for 45 s: never renewed"
        ),
    ),
    "unready and silent": (
        replace(
            facts(
                machine(ADDRESSED, LAUNCHED, REGISTERED, UNREADY), presence=RUNNING, node=STARTING
            ),
            silence=LeaseSilence(30, doubted_s=10, asked_s=10),
        ),
        actions.Requeue("for its node to recover", NOW + timedelta(seconds=10)),
    ),
    # Termination.
    "lost, its pod bound": (
        facts(machine(ADDRESSED, LAUNCHED, LOST), presence=REMAINS, node=UP, pod=BOUND),
        actions.FailPod("GuestPanicked: it panicked"),
    ),
    "lost, its pod not bound": (
        facts(machine(ADDRESSED, LAUNCHED, LOST), presence=REMAINS, node=UP),
        actions.Delete("GuestPanicked", "it panicked"),
    ),
    "lost, its pod failed": (
        facts(
            machine(ADDRESSED, LAUNCHED, LOST), presence=REMAINS, pod=replace(BOUND, finished=True)
        ),
        actions.Delete("GuestPanicked", "it panicked"),
    ),
    "pod gone": (
        facts(machine(ADDRESSED, LAUNCHED), presence=RUNNING, pod=None),
        actions.Delete("PodGone", "its pod does not exist any more"),
    ),
    "pod bound elsewhere": (
        facts(machine(ADDRESSED, LAUNCHED), presence=RUNNING, pod=PodState(node="worker-1")),
        actions.Delete("PodElsewhere", "its pod was bound to node worker-1"),
    ),
    "pod failed early": (
        facts(machine(ADDRESSED), pod=PodState(finished=True, ran=True)),
        actions.Delete("PodFinished", "its pod ended before it had a machine"),
    ),
    "pod rejected by its kubelet": (
        facts(
            machine(ADDRESSED, LAUNCHED, REGISTERED, READY),
            presence=RUNNING,
            node=UP,
            pod=replace(BOUND, finished=True, failure="SysctlForbidden: Pod was rejected: no"),
        ),
        actions.Delete(
            "PodNeverRan",
            "its pod failed before any container was created: SysctlForbidden: Pod was rejected:"
            " no",
        ),
    ),
    "pod rejected, and being deleted": (
        replace(
            facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, finished=True, deadline=NOW),
            burst_ended=True,
        ),
        actions.ResumeBurst(),
    ),
    "pod resized before it was bound": (
        facts(
            machine(ADDRESSED, LAUNCHED),
            presence=RUNNING,
            pod=PodState(outgrown="The pod needs 2 vCPU"),
        ),
        actions.Delete(
            "PodResized", "its pod was resized before it was bound: The pod needs 2 vCPU"
        ),
    ),
    "deleted, runs": (
        facts(machine(ADDRESSED, LAUNCHED, deleting=True), presence=RUNNING, pod=BOUND, node=UP),
        actions.Terminate("its MicroVM object is being deleted"),
    ),
    "deleted, its pod bound": (
        facts(machine(ADDRESSED, LAUNCHED, deleting=True), pod=BOUND, node=UP),
        actions.FailPod("MicroVMDeleted: the MicroVM object was deleted"),
    ),
    "deleted, its node exists": (
        facts(machine(ADDRESSED, LAUNCHED, deleting=True), pod=None, node=UP),
        actions.DeleteNode(),
    ),
    "deleted, no resources left": (
        facts(machine(ADDRESSED, LAUNCHED, deleting=True), pod=None),
        actions.RemoveFinalizer(),
    ),
    "deleted, a foreign finalizer left": (
        facts(machine(deleting=True, finalizer=False), pod=None),
        actions.Requeue("for the object's deletion"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_next_action(case: str) -> None:
    seen, expected = CASES[case]
    assert decide(seen, LIMITS) == expected


def test_a_finished_pod_keeps_its_machine() -> None:
    # Its logs are read through the node; as on Fargate, it is billed until it is deleted.
    seen = replace(
        facts(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
        pod=replace(BOUND, finished=True, ran=True),
        burst_ended=True,
    )
    assert decide(seen, LIMITS) == actions.Requeue("for its pod")
