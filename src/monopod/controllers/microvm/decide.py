"""Decides a machine's next action: a pure function of its observed state.

Every action is idempotent and may be interrupted: the next reconcile decides from the state that it
finds. Conditions and timeouts follow the lifecycle of Karpenter's NodeClaims.
"""

from datetime import timedelta
from typing import Final

from monopod.api import keys
from monopod.api.conditions import FALSE, TRUE
from monopod.api.constants import (
    CAPACITY_UNAVAILABLE,
    DRIVER_UNAVAILABLE,
    HOST_CORDONED,
    PLACEMENT_PENDING,
    PLACING,
    SIZE_UNSUPPORTED,
)
from monopod.api.resources import Condition, MicroVMStatus
from monopod.controllers.microvm import conditions
from monopod.controllers.microvm.actions import (
    Action,
    AddFinalizer,
    AllocateAddress,
    ClearPodAddress,
    ConfirmLease,
    Delete,
    DeleteNode,
    EvictPod,
    FailPod,
    Launch,
    MarkLaunched,
    MarkLaunchFailed,
    MarkQueued,
    MarkReady,
    MarkRegistered,
    MarkTerminated,
    Relaunch,
    RemoveFinalizer,
    Requeue,
    Terminate,
)
from monopod.controllers.microvm.burst import burst_action
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.controllers.microvm.state import NodeState, PodState, State
from monopod.kube import meta, name_of
from monopod.node.provider import MachineExit, Presence

LAUNCHING: Final = "Launching"
QUEUED: Final = "Queued"
POD_NEVER_RAN: Final = "PodNeverRan"
NODE_READY: Final = MarkReady(True, "KubeletReady", "its node is ready")
_JUST_NOW_S: Final = 2.0
_NO_PAUSE: Final = ("", LAUNCHING, QUEUED)
ADDRESS_S: Final = 15.0
"""How long a machine waits for an address of its subnet before it is deleted, so that the scheduler
can choose another subnet."""
RETRY_S: Final = 1.0
"""The pause after a first failed launch; it doubles with each."""
ROOM_S: Final = 15.0
"""Interval between launches of a machine that lacks capacity, unless some becomes free."""


def decide(state: State, settings: MicroVMSettings) -> Action:  # noqa: PLR0911 - one for each case
    """Return a machine's next action."""
    machine = state.machine
    metadata = meta(machine)
    status = machine.status_or_empty
    if metadata.deletionTimestamp is not None:
        return _tear_down(state, status)
    if state.pod is None:
        return Delete("PodGone", "its pod does not exist any more")
    if (ended := conditions.exit_of(machine)) is not None:
        if machine.is_worker_node:
            return Relaunch(ended)
        if state.remote and state.presence is Presence.RUNNING:
            return _evict(state, ended)
        return _fail_pod(state, status) or Delete(ended.reason, ended.message)
    if state.pod.node and state.pod.node != status.nodeName:
        return Delete("PodElsewhere", f"its pod was bound to node {state.pod.node}")
    if (useless := _useless(state.pod)) is not None:
        return useless
    if keys.MACHINE_FINALIZER not in (metadata.finalizers or ()):
        return AddFinalizer()
    if not conditions.holds(machine, conditions.LAUNCHED):
        return _launch(state, status, settings)
    return _follow(state, settings)


def _useless(pod: PodState) -> Delete | None:
    """Return a deletion if a pod will never use its machine, or needs a larger one.

    A finished pod keeps its machine, as on Fargate: its logs are read through the node. A pod of
    which no container was ever created has no logs. A pod that is being deleted needs its kubelet
    until the end.
    """
    if pod.finished and not pod.ran and pod.deadline is None:
        why = pod.failure or "its status has no reason"
        return Delete(POD_NEVER_RAN, f"its pod failed before any container was created: {why}")
    if pod.outgrown:
        return Delete("PodResized", f"its pod was resized before it was bound: {pod.outgrown}")
    return None


def _tear_down(state: State, status: MicroVMStatus) -> Action:
    if state.presence is not None:
        return Terminate("its MicroVM object is being deleted")
    if (lost := _fail_pod(state, status)) is not None:
        return lost
    if state.node is not None:
        return DeleteNode(state.node.uid)
    if keys.MACHINE_FINALIZER in (meta(state.machine).finalizers or ()):
        return _clear_address(state, status) or RemoveFinalizer()
    return Requeue("for the object's deletion")


def _evict(state: State, ended: MachineExit) -> EvictPod | Delete:
    """Give up a machine that cannot be ended at once, and its pod."""
    pod = state.pod
    if pod is None or pod.finished or not pod.node or pod.deadline is not None:
        return Delete(ended.reason, ended.message)
    return EvictPod(ended)


def _fail_pod(state: State, status: MicroVMStatus) -> FailPod | None:
    """Fail a bound pod whose machine is gone; it would otherwise show as running for minutes."""
    pod = state.pod
    if pod is None or pod.finished or not pod.node or pod.node != status.nodeName:
        return None
    ended = conditions.exit_of(state.machine)
    return FailPod(ended or _exit(state, "MicroVMDeleted", "the MicroVM object was deleted"))


def _clear_address(state: State, status: MicroVMStatus) -> ClearPodAddress | None:
    """Clear the address of a pod that outlives its machine, before another machine can get it.

    The API server's proxies call the address in a pod's status for everyone who may use them in the
    pod's namespace, past security groups and network policies.
    """
    pod = state.pod
    # A worker node's pod state has no node.
    if pod is None or not pod.addressed or pod.node != status.nodeName:
        return None
    return ClearPodAddress()


def _exit(state: State, reason: str, message: str) -> MachineExit:
    return MachineExit(name_of(state.machine), reason, message)


def _launch(state: State, status: MicroVMStatus, settings: MicroVMSettings) -> Action:
    pod = state.pod
    # Its place alone is no machine.
    presence = None if state.presence is Presence.PLACED else state.presence
    if pod is not None and pod.finished:
        return Delete("PodFinished", "its pod ended before it had a machine")
    addressed = conditions.find(state.machine, conditions.ADDRESSED)
    if addressed is None or addressed.status != TRUE or not state.addresses_held:
        if presence is not None:
            return Terminate("it belongs to an earlier MicroVM of this name")
        return _address(state, addressed, settings)
    launched = conditions.find(state.machine, conditions.LAUNCHED)
    launched = launched or Condition(type=conditions.LAUNCHED, status=FALSE)
    if presence is Presence.RUNNING and status.attempts > 0 and launched.reason == LAUNCHING:
        return MarkLaunched()
    if presence is not None:
        return Terminate("it is left from an earlier attempt")
    return _pause(state, status, launched, settings) or _start(state, launched)


def _address(state: State, addressed: Condition | None, settings: MicroVMSettings) -> Action:
    if addressed is not None and addressed.status == FALSE:
        pending = addressed.reason in (PLACEMENT_PENDING, PLACING)
        within_s = settings.placement_timeout_s if pending else ADDRESS_S
        until = conditions.since(addressed) + timedelta(seconds=within_s)
        if state.now >= until:
            return Delete(addressed.reason, addressed.message)
    return AllocateAddress()


def _pause(
    state: State, status: MicroVMStatus, launched: Condition, settings: MicroVMSettings
) -> MarkTerminated | Requeue | None:
    """Return the back-off of a machine whose launch failed; None if it may be launched now."""
    if launched.reason in _NO_PAUSE:
        return None
    since = conditions.since(launched)
    if state.refused_at is not None:
        # The condition's time is that of the first of several refusals for the same reason.
        since = max(since, state.refused_at)
    if launched.reason in (SIZE_UNSUPPORTED, DRIVER_UNAVAILABLE):
        until = since + timedelta(seconds=settings.driver_retry_s)
        return Requeue("for a driver on this host", until) if state.now < until else None
    if launched.reason in (CAPACITY_UNAVAILABLE, HOST_CORDONED):
        # While the host is cordoned, room that becomes free changes nothing.
        cordoned = launched.reason == HOST_CORDONED
        freed_at = state.uncordoned_at if cordoned else state.room_at
        freed = freed_at is not None and freed_at > since
        until = since + timedelta(seconds=ROOM_S)
        return None if freed or state.now >= until else Requeue("for capacity", until)
    if status.attempts >= settings.attempts:
        why = f"{status.attempts} launches failed, the last one: {launched.message}"
        return MarkTerminated(_exit(state, launched.reason, why), timed_out=True)
    until = since + timedelta(seconds=RETRY_S * 2 ** max(status.attempts - 1, 0))
    return Requeue("before the next launch", until) if state.now < until else None


def _start(state: State, launched: Condition) -> Action:
    if state.node is not None and (not state.node.ours or state.node.registered):
        # An earlier kubelet's report must not count as this machine's.
        return DeleteNode(state.node.uid)
    if not state.may_boot:
        return Requeue("for the boot limit") if launched.reason == QUEUED else MarkQueued()
    return Launch()


def _follow(state: State, settings: MicroVMSettings) -> Action:  # noqa: PLR0911 - one for each case
    machine, node = state.machine, state.node
    ready = conditions.find(machine, conditions.READY)
    if state.presence is not Presence.RUNNING:
        vanished = _exit(state, "MachineVanished", "its processes vanished from the host")
        ended = state.ended or vanished
        return MarkLaunchFailed(ended) if ready is None else MarkTerminated(ended)
    if node is not None and not node.ours:
        why = "its Node was replaced by another one of its name"
        return MarkTerminated(_exit(state, "NodeReplaced", why))
    if ready is None:
        return _await_ready(state, settings)
    if node is None:
        deleted = _exit(state, "NodeDeleted", "its Node object was deleted")
        # A drain of the host stops worker nodes this way: none is lost.
        return Relaunch(deleted) if machine.is_worker_node else MarkTerminated(deleted)
    heard = _confirm_lease(state, settings)
    if not isinstance(heard, Requeue):
        return heard
    action = _attend(state, ready, node, settings)
    if isinstance(action, Requeue) and heard.until is not None:
        return Requeue(action.why, min(action.until or heard.until, heard.until))
    return action


def _attend(state: State, ready: Condition, node: NodeState, settings: MicroVMSettings) -> Action:
    if not node.ready:
        return _await_recovery(state, ready, node, settings)
    if ready.status != TRUE:
        return NODE_READY
    return burst_action(state) or Requeue("for its pod")


def _await_ready(state: State, settings: MicroVMSettings) -> Action:
    node = state.node
    launched = conditions.find(state.machine, conditions.LAUNCHED)
    assert launched is not None  # noqa: S101 - only launched machines get here
    until = conditions.since(launched) + timedelta(seconds=settings.registration_timeout_s)
    if node is not None and node.registered:
        if not conditions.holds(state.machine, conditions.REGISTERED):
            return MarkRegistered(NODE_READY if node.ready else None)
        if node.ready:
            return NODE_READY
        if state.now >= until:
            why = (
                f"its node was not ready within {settings.registration_timeout_s:.0f} s: {node.why}"
            )
            return MarkTerminated(_exit(state, "ReadyTimeout", why), timed_out=True)
        return Requeue("for its node to become ready", until)
    if state.now >= until:
        why = f"its kubelet did not report within {settings.registration_timeout_s:.0f} s"
        return MarkTerminated(_exit(state, "RegistrationTimeout", why), timed_out=True)
    return Requeue("for its kubelet to report", until)


def _confirm_lease(
    state: State, settings: MicroVMSettings
) -> ConfirmLease | MarkTerminated | Requeue:
    """Return the next check of a kubelet's Lease, or a termination if it is not renewed.

    While the API server is unavailable no Lease can be renewed, and a suspended process misses
    renewals. So a missing renewal counts only if the API server has confirmed it twice: half of the
    timeout ago, and just now.
    """
    silence, half = state.silence, settings.silent_timeout_s / 2
    if silence is None:
        return Requeue("no Lease to watch")
    if silence.confirmed_s is None or silence.checked_s is None:
        left = half - silence.seconds
        return ConfirmLease() if left <= 0 else _wait_s(state, left)
    left = max(settings.silent_timeout_s - silence.seconds, half - silence.confirmed_s)
    if left > 0:
        return _wait_s(state, left)
    if silence.checked_s > _JUST_NOW_S:
        return ConfirmLease()
    last = f"last renewed at {silence.last:%H:%M:%S} UTC" if silence.last else "never renewed"
    why = f"its kubelet has not renewed its node's Lease for {silence.seconds:.0f} s: {last}"
    return MarkTerminated(_exit(state, "KubeletLost", why))


def _wait_s(state: State, seconds: float) -> Requeue:
    return Requeue("for its kubelet's next renewal", state.now + timedelta(seconds=seconds))


def _await_recovery(
    state: State, ready: Condition, node: NodeState, settings: MicroVMSettings
) -> Action:
    if ready.status == TRUE:
        return MarkReady(False, "NodeNotReady", node.why)
    since = conditions.since(ready)
    until = since + timedelta(seconds=settings.unready_timeout_s)
    if state.now < until:
        return Requeue("for its node to recover", until)
    why = f"its node was not ready for {settings.unready_timeout_s:.0f} s: {node.why}"
    return MarkTerminated(_exit(state, "KubeletLost", why))
