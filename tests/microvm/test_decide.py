"""A machine's next action, by a table of states."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from monopod.api.resources import Condition, MicroVM
from monopod.controllers.microvm import actions
from monopod.controllers.microvm.burst import BURST_S
from monopod.controllers.microvm.decide import ROOM_S, decide
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.controllers.microvm.state import ANY_POD, LeaseSilence, NodeState, PodState, State
from monopod.node.provider import MachineExit, Presence
from tests.microvm.build import (
    ADDRESSED,
    LAUNCHED,
    NAME,
    NODE,
    NOW,
    READY,
    REGISTERED,
    condition,
    machine,
    state,
)

SETTINGS = MicroVMSettings()

pytestmark = pytest.mark.unit

RUNNING, REMAINS = Presence.RUNNING, Presence.REMAINS
SILENT = NodeState(ours=True)
STARTING = NodeState(ours=True, registered=True, why="KubeletNotReady: not yet")
UP = NodeState(ours=True, registered=True, ready=True)
FOREIGN = NodeState(ours=False, registered=True, ready=True)
BOUND = PodState(node=NODE)
FAILED = condition("Launched", "False", "LaunchFailed", "no space")
LAUNCHING = condition("Launched", "False", "Launching")
NO_ROOM = condition("Launched", "False", "CapacityUnavailable")
CORDONED = condition("Launched", "False", "HostCordoned")
PANICKED = MachineExit(NAME, "GuestPanicked", "it panicked")
LOST = condition("Terminated", "True", "GuestPanicked", "it panicked")
UNREADY = condition("Ready", "False", "NodeNotReady", age_s=10)


def _worker_node(*states: Condition) -> MicroVM:
    made = machine(*states)
    spec = msgspec.structs.replace(
        made.spec, purpose="WorkerNode", podCIDR="192.168.255.0/24", profile=""
    )
    return msgspec.structs.replace(made, spec=spec)


def _silent(silence: LeaseSilence) -> State:
    ready = machine(ADDRESSED, LAUNCHED, REGISTERED, READY)
    return replace(state(ready, presence=RUNNING, node=UP), silence=silence)


CASES: dict[str, tuple[State, object]] = {
    "a worker node that was lost": (
        state(_worker_node(ADDRESSED, LAUNCHED, REGISTERED, UNREADY, LOST), pod=ANY_POD),
        actions.Relaunch(PANICKED),
    ),
    "a worker node that is relaunched": (
        state(
            _worker_node(ADDRESSED, condition("Launched", "False", "GuestPanicked", age_s=5)),
            pod=ANY_POD,
            node=UP,
        ),
        actions.DeleteNode(),
    ),
    "a worker node whose Node was deleted": (
        state(_worker_node(ADDRESSED, LAUNCHED, REGISTERED, READY), pod=ANY_POD, presence=RUNNING),
        actions.Relaunch(MachineExit(NAME, "NodeDeleted", "its Node object was deleted")),
    ),
    # Before the launch.
    "new": (state(machine(finalizer=False)), actions.AddFinalizer()),
    "finalizer set": (state(machine()), actions.AllocateAddress()),
    "resources of an earlier MicroVM": (
        state(machine(), presence=RUNNING),
        actions.Terminate("it belongs to an earlier MicroVM of this name"),
    ),
    "no address yet": (
        state(machine(condition("Addressed", "False", "SubnetExhausted"))),
        actions.AllocateAddress(),
    ),
    "no address for too long": (
        state(machine(condition("Addressed", "False", "SubnetExhausted", "full", age_s=20))),
        actions.Delete("SubnetExhausted", "full"),
    ),
    "an address that another MicroVM holds": (
        replace(state(machine(ADDRESSED)), addresses_held=False),
        actions.AllocateAddress(),
    ),
    "addressed": (state(machine(ADDRESSED)), actions.Launch()),
    "boot limit reached": (
        replace(state(machine(ADDRESSED)), may_boot=False),
        actions.MarkQueued(),
    ),
    "queued for the boot limit": (
        replace(
            state(machine(ADDRESSED, condition("Launched", "False", "Queued"))), may_boot=False
        ),
        actions.Requeue("for the boot limit"),
    ),
    "a Node of its name with another owner": (
        state(machine(ADDRESSED), node=FOREIGN),
        actions.DeleteNode(),
    ),
    "its Node is created": (state(machine(ADDRESSED), node=SILENT), actions.Launch()),
    "an earlier kubelet's report": (state(machine(ADDRESSED), node=UP), actions.DeleteNode()),
    # A launch that the process died before recording.
    "killed before the start": (state(machine(ADDRESSED, LAUNCHING, attempts=1)), actions.Launch()),
    "killed in the middle": (
        state(machine(ADDRESSED, LAUNCHING, attempts=1), presence=REMAINS),
        actions.Terminate("it is left from an earlier attempt"),
    ),
    "killed after the start": (
        state(machine(ADDRESSED, LAUNCHING, attempts=1), presence=RUNNING),
        actions.MarkLaunched(),
    ),
    # Launches that failed.
    "failed just now": (
        state(machine(ADDRESSED, FAILED, attempts=2)),
        actions.Requeue("before the next launch", NOW + timedelta(seconds=2)),
    ),
    "failed a while ago": (
        state(machine(ADDRESSED, FAILED, attempts=2), now=NOW + timedelta(seconds=2)),
        actions.Launch(),
    ),
    "failed, but runs": (
        state(machine(ADDRESSED, FAILED, attempts=1), presence=RUNNING),
        actions.Terminate("it is left from an earlier attempt"),
    ),
    "failed too often": (
        state(machine(ADDRESSED, FAILED, attempts=4)),
        actions.MarkTerminated(
            MachineExit(NAME, "LaunchFailed", "4 launches failed, the last one: no space"),
            timed_out=True,
        ),
    ),
    "no capacity": (
        state(machine(ADDRESSED, NO_ROOM, attempts=9)),
        actions.Requeue("for capacity", NOW + timedelta(seconds=ROOM_S)),
    ),
    "capacity became free": (
        replace(state(machine(ADDRESSED, NO_ROOM, attempts=9)), room_at=NOW + timedelta(seconds=1)),
        actions.Launch(),
    ),
    "no such size": (
        state(machine(ADDRESSED, condition("Launched", "False", "SizeUnsupported"), attempts=9)),
        actions.Requeue(
            "for a driver on this host", NOW + timedelta(seconds=SETTINGS.driver_retry_s)
        ),
    ),
    "no such driver, a while ago": (
        state(
            machine(ADDRESSED, condition("Launched", "False", "DriverUnavailable", age_s=60)),
            now=NOW,
        ),
        actions.Launch(),
    ),
    "refused again": (
        replace(
            state(
                machine(ADDRESSED, condition("Launched", "False", "DriverUnavailable", age_s=60))
            ),
            refused_at=NOW,
        ),
        actions.Requeue(
            "for a driver on this host", NOW + timedelta(seconds=SETTINGS.driver_retry_s)
        ),
    ),
    "no capacity again, none freed since": (
        replace(
            state(
                machine(ADDRESSED, condition("Launched", "False", "CapacityUnavailable", age_s=60))
            ),
            refused_at=NOW,
            room_at=NOW - timedelta(seconds=30),
        ),
        actions.Requeue("for capacity", NOW + timedelta(seconds=ROOM_S)),
    ),
    "the host is cordoned": (
        replace(state(machine(ADDRESSED, CORDONED)), room_at=NOW + timedelta(seconds=1)),
        actions.Requeue("for capacity", NOW + timedelta(seconds=ROOM_S)),
    ),
    "the host was uncordoned": (
        replace(state(machine(ADDRESSED, CORDONED)), uncordoned_at=NOW + timedelta(milliseconds=1)),
        actions.Launch(),
    ),
    # From the launch to a ready node.
    "boots": (
        state(machine(ADDRESSED, LAUNCHED), presence=RUNNING, node=SILENT),
        actions.Requeue(
            "for its kubelet to report", NOW + timedelta(seconds=SETTINGS.registration_timeout_s)
        ),
    ),
    "kubelet reports": (
        state(machine(ADDRESSED, LAUNCHED), presence=RUNNING, node=STARTING),
        actions.MarkRegistered(),
    ),
    "kubelet reports, and its node is ready": (
        state(machine(ADDRESSED, LAUNCHED), presence=RUNNING, node=UP),
        actions.MarkRegistered(actions.MarkReady(True, "KubeletReady", "its node is ready")),
    ),
    "registered": (
        state(machine(ADDRESSED, LAUNCHED, REGISTERED), presence=RUNNING, node=STARTING),
        actions.Requeue(
            "for its node to become ready", NOW + timedelta(seconds=SETTINGS.registration_timeout_s)
        ),
    ),
    "node ready": (
        state(machine(ADDRESSED, LAUNCHED, REGISTERED), presence=RUNNING, node=UP),
        actions.MarkReady(True, "KubeletReady", "its node is ready"),
    ),
    "kubelet never reports": (
        state(
            machine(ADDRESSED, LAUNCHED),
            presence=RUNNING,
            node=SILENT,
            now=NOW + timedelta(seconds=SETTINGS.registration_timeout_s),
        ),
        actions.MarkTerminated(
            MachineExit(NAME, "RegistrationTimeout", "its kubelet did not report within 120 s"),
            timed_out=True,
        ),
    ),
    "node never ready": (
        state(
            machine(ADDRESSED, LAUNCHED, REGISTERED),
            presence=RUNNING,
            node=STARTING,
            now=NOW + timedelta(seconds=SETTINGS.registration_timeout_s),
        ),
        actions.MarkTerminated(
            MachineExit(
                NAME,
                "ReadyTimeout",
                "its node was not ready within 120 s: KubeletNotReady: not yet",
            ),
            timed_out=True,
        ),
    ),
    "ends while it boots": (
        replace(
            state(machine(ADDRESSED, LAUNCHED), presence=REMAINS),
            ended=PANICKED,
        ),
        actions.MarkLaunchFailed(PANICKED),
    ),
    # A ready machine.
    "idle": (
        state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
        actions.Requeue("for its pod"),
    ),
    "pod starts": (
        replace(
            state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True),
        ),
        actions.EndBootBurst(),
    ),
    "pod runs": (
        replace(
            state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True),
            burst_ended=True,
        ),
        actions.Requeue("for its pod"),
    ),
    "pod terminates": (
        replace(
            state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True, deadline=NOW + timedelta(seconds=1)),
            burst_ended=True,
        ),
        actions.Requeue("for its pod's grace period to end", NOW + timedelta(seconds=1)),
    ),
    "pod terminates before it started": (
        replace(
            state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True, deadline=NOW + timedelta(seconds=1)),
        ),
        actions.EndBootBurst(),
    ),
    "pod's grace period ended": (
        replace(
            state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True, deadline=NOW),
            burst_ended=True,
        ),
        actions.ResumeBurst(),
    ),
    "pod ended before its grace period": (
        replace(
            state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(
                BOUND, started=True, ran=True, finished=True, deadline=NOW + timedelta(seconds=20)
            ),
            burst_ended=True,
        ),
        actions.ResumeBurst(),
    ),
    "pod is torn down": (
        replace(
            state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True, deadline=NOW - timedelta(seconds=1)),
        ),
        actions.Requeue("for its pod's teardown", NOW + timedelta(seconds=BURST_S - 1)),
    ),
    "pod's teardown takes too long": (
        replace(
            state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, started=True, deadline=NOW - timedelta(seconds=BURST_S)),
        ),
        actions.EndBootBurst(),
    ),
    "init containers run": (
        replace(
            state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, first_ran=NOW),
        ),
        actions.Requeue("for its pod to start", NOW + timedelta(seconds=BURST_S)),
    ),
    "init containers run for too long": (
        replace(
            state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, first_ran=NOW - timedelta(seconds=BURST_S)),
        ),
        actions.EndBootBurst(),
    ),
    "node unready": (
        state(
            machine(ADDRESSED, LAUNCHED, REGISTERED, READY),
            presence=RUNNING,
            node=STARTING,
            pod=BOUND,
        ),
        actions.MarkReady(False, "NodeNotReady", "KubeletNotReady: not yet"),
    ),
    "node unready for a while": (
        state(machine(ADDRESSED, LAUNCHED, REGISTERED, UNREADY), presence=RUNNING, node=STARTING),
        actions.Requeue(
            "for its node to recover", NOW + timedelta(seconds=SETTINGS.unready_timeout_s - 10)
        ),
    ),
    "node unready too long": (
        state(
            machine(ADDRESSED, LAUNCHED, REGISTERED, UNREADY),
            presence=RUNNING,
            node=STARTING,
            now=NOW + timedelta(seconds=SETTINGS.unready_timeout_s - 10),
        ),
        actions.MarkTerminated(
            MachineExit(
                NAME, "KubeletLost", "its node was not ready for 60 s: KubeletNotReady: not yet"
            )
        ),
    ),
    "node recovers": (
        state(machine(ADDRESSED, LAUNCHED, REGISTERED, UNREADY), presence=RUNNING, node=UP),
        actions.MarkReady(True, "KubeletReady", "its node is ready"),
    ),
    "node deleted": (
        state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING),
        actions.MarkTerminated(MachineExit(NAME, "NodeDeleted", "its Node object was deleted")),
    ),
    "node replaced": (
        state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=FOREIGN),
        actions.MarkTerminated(
            MachineExit(NAME, "NodeReplaced", "its Node was replaced by another one of its name")
        ),
    ),
    "vanished": (
        state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), node=UP, pod=BOUND),
        actions.MarkTerminated(
            MachineExit(NAME, "MachineVanished", "its processes vanished from the host")
        ),
    ),
    # A kubelet that does not renew its Lease.
    "Lease renewed": (
        _silent(LeaseSilence(5)),
        actions.Requeue("for its pod", NOW + timedelta(seconds=15)),
    ),
    "silent for a while": (_silent(LeaseSilence(20)), actions.ConfirmLease()),
    "silent, confirmed by the API server": (
        _silent(LeaseSilence(21, confirmed_s=1, checked_s=1)),
        actions.Requeue("for its pod", NOW + timedelta(seconds=19)),
    ),
    "silent while the API server was unavailable": (
        _silent(LeaseSilence(300)),
        actions.ConfirmLease(),
    ),
    "silent, the API server having just returned": (
        _silent(LeaseSilence(301, confirmed_s=1, checked_s=1)),
        actions.Requeue("for its pod", NOW + timedelta(seconds=19)),
    ),
    "silent for long": (
        _silent(LeaseSilence(40, confirmed_s=20, checked_s=20)),
        actions.ConfirmLease(),
    ),
    "silent for good": (
        _silent(LeaseSilence(40, last=NOW - timedelta(seconds=41), confirmed_s=20, checked_s=0)),
        actions.MarkTerminated(
            MachineExit(
                NAME,
                "KubeletLost",
                "its kubelet has not renewed its node's Lease for 40 s:"
                " last renewed at 17:59:19 UTC",
            )
        ),
    ),
    "silent from the start": (
        _silent(LeaseSilence(45, confirmed_s=25, checked_s=0)),
        actions.MarkTerminated(
            MachineExit(
                NAME,
                "KubeletLost",
                "its kubelet has not renewed its node's Lease for 45 s: never renewed",
            )
        ),
    ),
    "unready and silent": (
        replace(
            state(
                machine(ADDRESSED, LAUNCHED, REGISTERED, UNREADY), presence=RUNNING, node=STARTING
            ),
            silence=LeaseSilence(30, confirmed_s=10, checked_s=10),
        ),
        actions.Requeue("for its node to recover", NOW + timedelta(seconds=10)),
    ),
    # Termination.
    "lost, its pod bound": (
        state(machine(ADDRESSED, LAUNCHED, LOST), presence=REMAINS, node=UP, pod=BOUND),
        actions.FailPod(PANICKED),
    ),
    "lost, its pod not bound": (
        state(machine(ADDRESSED, LAUNCHED, LOST), presence=REMAINS, node=UP),
        actions.Delete("GuestPanicked", "it panicked"),
    ),
    "lost, its pod failed": (
        state(
            machine(ADDRESSED, LAUNCHED, LOST), presence=REMAINS, pod=replace(BOUND, finished=True)
        ),
        actions.Delete("GuestPanicked", "it panicked"),
    ),
    "pod gone": (
        state(machine(ADDRESSED, LAUNCHED), presence=RUNNING, pod=None),
        actions.Delete("PodGone", "its pod does not exist any more"),
    ),
    "pod bound elsewhere": (
        state(machine(ADDRESSED, LAUNCHED), presence=RUNNING, pod=PodState(node="worker-1")),
        actions.Delete("PodElsewhere", "its pod was bound to node worker-1"),
    ),
    "pod failed early": (
        state(machine(ADDRESSED), pod=PodState(finished=True, ran=True)),
        actions.Delete("PodFinished", "its pod ended before it had a machine"),
    ),
    "pod rejected by its kubelet": (
        state(
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
            state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
            pod=replace(BOUND, finished=True, deadline=NOW),
            burst_ended=True,
        ),
        actions.ResumeBurst(),
    ),
    "pod resized before it was bound": (
        state(
            machine(ADDRESSED, LAUNCHED),
            presence=RUNNING,
            pod=PodState(outgrown="The pod needs 2 vCPU"),
        ),
        actions.Delete(
            "PodResized", "its pod was resized before it was bound: The pod needs 2 vCPU"
        ),
    ),
    "deleted, runs": (
        state(machine(ADDRESSED, LAUNCHED, deleting=True), presence=RUNNING, pod=BOUND, node=UP),
        actions.Terminate("its MicroVM object is being deleted"),
    ),
    "deleted, its pod bound": (
        state(machine(ADDRESSED, LAUNCHED, deleting=True), pod=BOUND, node=UP),
        actions.FailPod(MachineExit(NAME, "MicroVMDeleted", "the MicroVM object was deleted")),
    ),
    "deleted, its node exists": (
        state(machine(ADDRESSED, LAUNCHED, deleting=True), pod=None, node=UP),
        actions.DeleteNode(),
    ),
    "deleted, no resources left": (
        state(machine(ADDRESSED, LAUNCHED, deleting=True), pod=None),
        actions.RemoveFinalizer(),
    ),
    "deleted, its finished pod has its address": (
        state(
            machine(ADDRESSED, LAUNCHED, deleting=True),
            pod=replace(BOUND, finished=True, addressed=True),
        ),
        actions.ClearPodAddress(),
    ),
    "deleted, its finished pod has no address": (
        state(
            machine(ADDRESSED, LAUNCHED, deleting=True),
            pod=replace(BOUND, finished=True),
        ),
        actions.RemoveFinalizer(),
    ),
    "deleted, its finished pod has another node's address": (
        state(
            machine(ADDRESSED, LAUNCHED, deleting=True),
            pod=PodState(node="worker-1", finished=True, addressed=True),
        ),
        actions.RemoveFinalizer(),
    ),
    "deleted, a foreign finalizer left": (
        state(machine(deleting=True, finalizer=False), pod=None),
        actions.Requeue("for the object's deletion"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_next_action(case: str) -> None:
    seen, expected = CASES[case]
    assert decide(seen, SETTINGS) == expected


def test_a_finished_pod_keeps_its_machine() -> None:
    # Its logs are read through the node; as on Fargate, it is billed until it is deleted.
    seen = replace(
        state(machine(ADDRESSED, LAUNCHED, REGISTERED, READY), presence=RUNNING, node=UP),
        pod=replace(BOUND, finished=True, ran=True),
        burst_ended=True,
    )
    assert decide(seen, SETTINGS) == actions.Requeue("for its pod")
