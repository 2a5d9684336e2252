"""After any events and crashes, the state converges and no resource leaks.

A model of the actions, each split into its single writes, runs the real decisions with the real
caches. A crash may come between any two writes; it loses the caches and keeps the world.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monopod.api import keys
from monopod.api.resources import Condition, MicroVM
from monopod.controllers.microvm import actions, conditions
from monopod.controllers.microvm.boot_limiter import BootLimiter
from monopod.controllers.microvm.decide import LAUNCHING, QUEUED, decide
from monopod.controllers.microvm.ipam import AddressBook, Addresses, recorded
from monopod.controllers.microvm.observed import ObservedCache
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.controllers.microvm.state import NodeState, PodState, State
from monopod.kube import meta, uid_of
from monopod.node.net.errors import AddressesExhaustedError
from monopod.node.provider import MachineExit, Presence
from tests.microvm.build import NOW, machine

SETTINGS = MicroVMSettings()

pytestmark = pytest.mark.unit

SUBNET = IPv4Network("192.168.2.0/29")
"""Has three addresses."""
BOOTS_AT_ONCE = 2
ROOM = 3
PODS = st.integers(0, 3)
_CRASH_POINTS = st.one_of(st.none(), st.integers(0, 3))


class KilledError(Exception):
    """The controller is killed here."""


@dataclass
class Pod:
    uid: str
    node: str = ""
    finished: bool = False
    started: bool = False
    rejected: bool = False
    address: str = ""


@dataclass
class Node:
    owner: str
    registered: bool = False
    ready: bool = False


@dataclass
class Guest:
    owner: str
    addresses: Addresses
    presence: Presence = Presence.REMAINS


@dataclass
class World:
    """The state that survives a crash."""

    pods: dict[str, Pod] = field(default_factory=dict[str, Pod])
    """By the name of their machine."""
    objects: dict[str, MicroVM] = field(default_factory=dict[str, MicroVM])
    nodes: dict[str, Node] = field(default_factory=dict[str, Node])
    host: dict[str, Guest] = field(default_factory=dict[str, Guest])


def pod_state(pod: Pod | None, uid: str) -> PodState | None:
    if pod is None or pod.uid != uid:
        return None
    return PodState(
        node=pod.node,
        finished=pod.finished,
        started=pod.started,
        ran=not pod.rejected,
        addressed=bool(pod.address),
    )


class Lives(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.now = NOW
        self.serial = 0
        self.crash_in: int | None = None
        self.torn: set[str] = set()
        self.restart()

    # The controller's caches.

    def restart(self) -> None:
        self.observed = ObservedCache()
        self.addresses = AddressBook()
        for each in self.world.objects.values():
            self.addresses.note(each)
        self.collect()

    def collect(self) -> None:
        found = {name: guest.presence for name, guest in self.world.host.items()}
        self.observed.record_listing(found, self.observed.mark())
        for name in [each for each in self.world.host if each not in self.world.objects]:
            self.terminate(name)
        self.addresses.sweep(self.world.host)
        owners = {uid_of(each) for each in self.world.objects.values()}
        for name, node in list(self.world.nodes.items()):
            if node.owner not in owners:
                del self.world.nodes[name]

    def point(self) -> None:
        """Crash here, between two writes, if it is due."""
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                raise KilledError

    # Actions, write by write.

    def status(self, made: MicroVM, *changed: Condition, **fields: str | int) -> MicroVM:
        self.point()
        name = meta(made).name or ""
        old = made.status_or_empty
        new = conditions.set_in(old.conditions, *changed, now=self.now)
        status = msgspec.structs.replace(old, conditions=new, **fields)
        self.world.objects[name] = msgspec.structs.replace(made, status=status)
        self.addresses.note(self.world.objects[name])
        return self.world.objects[name]

    def terminate(self, name: str) -> None:
        self.point()
        self.world.host.pop(name, None)
        self.observed.record_removal(name, self.now)

    def allocate(self, made: MicroVM) -> None:
        try:
            chosen = self.addresses.allocate(made, SUBNET)
        except AddressesExhaustedError as error:
            reason = "SubnetExhausted"
            self.status(made, conditions.changed("Addressed", False, reason, str(error)))
            return
        self.status(
            made,
            conditions.changed("Addressed", True, "Allocated", ""),
            managementAddress=str(chosen.management),
            podAddress=str(chosen.pod),
            nodeName=f"fargate-{chosen.pod}",
        )

    def launch(self, made: MicroVM) -> None:
        name = meta(made).name or ""
        status = made.status_or_empty
        self.observed.record_start(name)
        if len(self.world.host) >= ROOM:
            self.observed.record_absence(name)
            reason = "CapacityUnavailable"
            self.status(made, conditions.changed("Launched", False, reason, ""))
            return
        addresses = recorded(made)
        assert addresses is not None
        guest = self.world.host[name] = Guest(uid_of(made), addresses)
        made = self.status(
            made,
            conditions.changed("Launched", False, LAUNCHING, ""),
            attempts=status.attempts + 1,
        )
        self.point()
        known = self.world.nodes.setdefault(status.nodeName, Node(uid_of(made)))
        assert known.owner == uid_of(made)
        self.point()
        guest.presence = Presence.RUNNING
        self.observed.record_running(name)
        self.status(made, conditions.changed("Launched", True, "Running", ""))

    def fail_pod(self, name: str) -> None:
        self.point()
        self.world.pods[name].finished = True

    def act(self, name: str) -> bool:
        """Carry out one action; returns False if there was none."""
        went_on = self.take(name)
        self.no_address_is_given_twice()
        self.nothing_exists_without_a_finalizer()
        self.what_is_launched_is_its_own()
        return went_on

    def take(self, name: str) -> bool:  # noqa: PLR0912 - one for each action
        made = self.world.objects.get(name)
        if made is None:
            return False
        status = made.status_or_empty
        action = decide(self.state(made), SETTINGS)
        match action:
            case actions.AddFinalizer():
                self.point()
                metadata = msgspec.structs.replace(meta(made), finalizers=[keys.MACHINE_FINALIZER])
                self.world.objects[name] = msgspec.structs.replace(made, metadata=metadata)
            case actions.AllocateAddress():
                self.allocate(made)
                after = self.world.objects[name]
                return conditions.holds(after, conditions.ADDRESSED)
            case actions.MarkQueued():
                self.status(made, conditions.changed("Launched", False, QUEUED, ""))
            case actions.Launch():
                self.launch(made)
            case actions.MarkLaunched():
                self.status(made, conditions.changed("Launched", True, "Running", ""))
            case actions.MarkLaunchFailed(ended):
                changed = [conditions.of_exit("Launched", False, ended)]
                if conditions.holds(made, conditions.REGISTERED):
                    changed.append(conditions.of_exit("Registered", False, ended))
                self.status(made, *changed)
            case actions.MarkRegistered(ready):
                marks = [conditions.changed("Registered", True, "", "")]
                if ready is not None:
                    marks.append(conditions.changed("Ready", True, ready.reason, ready.message))
                self.status(made, *marks)
            case actions.MarkReady(ready, reason, message):
                self.status(made, conditions.changed("Ready", ready, reason, message))
            case actions.ConfirmLease():
                return False
            case actions.EndBootBurst():
                self.observed.record_burst_ended(name)
            case actions.ResumeBurst():
                self.observed.record_burst_resumed(name)
            case actions.MarkTerminated(ended):
                self.status(
                    made,
                    conditions.of_exit("Ready", False, ended),
                    conditions.of_exit("Terminated", True, ended),
                )
            case actions.FailPod():
                self.fail_pod(name)
            case actions.Delete():
                self.delete(name)
            case actions.Terminate():
                self.terminate(name)
            case actions.DeleteNode():
                self.point()
                self.world.nodes.pop(status.nodeName, None)
            case actions.ClearPodAddress():
                self.point()
                self.world.pods[name].address = ""
            case actions.RemoveFinalizer():
                self.point()
                del self.world.objects[name]
                self.addresses.release(made)
            case actions.EvictPod():
                raise AssertionError("no machine of these runs on another host")
            case actions.Requeue() | actions.Relaunch():
                return False
        return True

    def delete(self, name: str) -> None:
        self.point()
        made = self.world.objects[name]
        if keys.MACHINE_FINALIZER not in (meta(made).finalizers or ()):
            del self.world.objects[name]
            self.addresses.release(made)
            return
        metadata = msgspec.structs.replace(meta(made), deletionTimestamp=self.now)
        self.world.objects[name] = msgspec.structs.replace(made, metadata=metadata)

    def state(self, made: MicroVM) -> State:
        name = meta(made).name or ""
        status = made.status_or_empty
        node = self.world.nodes.get(status.nodeName)
        limiter = BootLimiter(BOOTS_AT_ONCE)
        for each in self.world.objects.values():
            limiter.note(each)
        return State(
            machine=made,
            pod=pod_state(self.world.pods.get(name), made.spec.podRef.uid),
            node=None
            if node is None
            else NodeState(
                ours=node.owner == uid_of(made), registered=node.registered, ready=node.ready
            ),
            presence=self.observed.presence(name),
            ended=self.observed.ended(name),
            may_boot=limiter.is_next(name, self.now),
            burst_ended=self.observed.burst_ended(name),
            room_at=self.observed.room_at,
            now=self.now,
        )

    # Events of the world.

    def runs(self, name: str) -> bool:
        guest = self.world.host.get(name)
        return guest is not None and guest.presence is Presence.RUNNING

    def name_of(self, pod: int) -> str:
        return f"mvm-{hashlib.sha256(str(pod).encode()).hexdigest()[:10]}"

    @rule(pod=PODS)
    def pod_is_created(self, pod: int) -> None:
        self.serial += 1
        self.world.pods.setdefault(self.name_of(pod), Pod(f"pod-{self.serial}"))

    @rule(pod=PODS)
    def pod_is_deleted(self, pod: int) -> None:
        self.world.pods.pop(self.name_of(pod), None)

    @rule(pod=PODS)
    def pod_finishes(self, pod: int) -> None:
        if (known := self.world.pods.get(self.name_of(pod))) is not None and known.node:
            known.finished = True

    @rule(pod=PODS)
    def pod_is_rejected_by_its_kubelet(self, pod: int) -> None:
        known = self.world.pods.get(self.name_of(pod))
        if known is not None and known.node and not known.started and not known.finished:
            known.finished = known.rejected = True

    @rule()
    def scheduler_works(self) -> None:
        for name, pod in self.world.pods.items():
            made = self.world.objects.get(name)
            if made is None and not pod.finished and not pod.node:
                self.serial += 1
                made = machine(
                    name=name, uid=f"vm-{self.serial}", finalizer=False, created=self.now
                )
                reference = msgspec.structs.replace(made.spec.podRef, uid=pod.uid)
                spec = msgspec.structs.replace(made.spec, podRef=reference)
                self.world.objects[name] = msgspec.structs.replace(made, spec=spec)
            elif made is not None and made.spec.podRef.uid == pod.uid and not pod.node:
                ready = conditions.holds(made, conditions.READY)
                if ready and meta(made).deletionTimestamp is None:
                    pod.node = made.status_or_empty.nodeName
                    pod.address = made.status_or_empty.podAddress

    def pod_collector_works(self) -> None:
        """Delete the pods of nodes that are gone, as upstream's pod garbage collector does.

        Only this removes a pod whose machine's object was deleted without its finalizer.
        """
        for name, pod in list(self.world.pods.items()):
            if pod.node and pod.node not in self.world.nodes and name not in self.world.objects:
                del self.world.pods[name]

    @rule(pod=PODS, ready=st.booleans())
    def kubelet_reports(self, pod: int, ready: bool) -> None:
        name = self.name_of(pod)
        made = self.world.objects.get(name)
        if made is None or not self.runs(name):
            return
        node = self.world.nodes.get(made.status_or_empty.nodeName)
        if node is not None and node.owner == uid_of(made):
            node.registered, node.ready = True, ready

    @rule(pod=PODS, heard=st.booleans())
    def machine_ends(self, pod: int, heard: bool) -> None:
        name = self.name_of(pod)
        if self.runs(name):
            self.world.host[name].presence = Presence.REMAINS
            if heard:
                self.observed.record_exit(MachineExit(name, "GuestPanicked", "it panicked"))
            else:
                self.collect()

    @rule(pod=PODS)
    def node_is_deleted(self, pod: int) -> None:
        made = self.world.objects.get(self.name_of(pod))
        self.world.nodes.pop(made.status_or_empty.nodeName if made else "", None)

    @rule(pod=PODS)
    def object_is_deleted(self, pod: int) -> None:
        if self.name_of(pod) in self.world.objects:
            self.delete(self.name_of(pod))

    @rule(pod=PODS)
    def object_is_torn_out(self, pod: int) -> None:
        """Delete the object without its finalizer."""
        made = self.world.objects.pop(self.name_of(pod), None)
        if made is not None:
            exists = self.observed.presence(self.name_of(pod)) is not None
            self.addresses.release(made, exists=exists)
            self.torn.add(uid_of(made))

    @rule(seconds=st.sampled_from([0.5, 5, 20, 70, 130]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(pod=PODS, crash=_CRASH_POINTS)
    def controller_works(self, pod: int, crash: int | None) -> None:
        self.crash_in = crash
        try:
            for _ in range(4):
                if not self.act(self.name_of(pod)):
                    break
        except KilledError:
            self.crash_in = None
            self.restart()
        self.crash_in = None

    @rule()
    def controller_is_killed(self) -> None:
        self.restart()

    # Invariants.

    @invariant()
    def no_address_is_given_twice(self) -> None:
        held = [each for made in self.world.objects.values() if (each := recorded(made))]
        for every in ([each.pod for each in held], [each.management for each in held]):
            assert len(every) == len(set(every))

    @invariant()
    def no_two_machines_share_an_address(self) -> None:
        held = [guest.addresses for guest in self.world.host.values()]
        assert len({each.pod for each in held}) == len(held)

    @invariant()
    def no_pod_has_the_address_of_anothers_machine(self) -> None:
        """But where an administrator removed a machine's finalizer."""
        for name, pod in self.world.pods.items():
            made = self.world.objects.get(name)
            own = made is not None and made.spec.podRef.uid == pod.uid
            if pod.address and not own and not self.torn:
                assert all(
                    each.status_or_empty.podAddress != pod.address
                    for each in self.world.objects.values()
                )

    @invariant()
    def nothing_exists_without_a_finalizer(self) -> None:
        for name, guest in self.world.host.items():
            if guest.owner not in self.torn:
                made = self.world.objects[name]
                assert keys.MACHINE_FINALIZER in (meta(made).finalizers or ())
                assert guest.owner == uid_of(made)

    @invariant()
    def what_is_launched_is_its_own(self) -> None:
        for name, made in self.world.objects.items():
            if conditions.holds(made, conditions.LAUNCHED) and name in self.world.host:
                assert self.world.host[name].owner == uid_of(made)

    @precondition(lambda self: self.world.objects or self.world.host)
    @rule(pods_go=st.booleans())
    def everything_converges(self, pods_go: bool) -> None:
        if pods_go:
            self.world.pods.clear()
        for _ in range(400):
            if not any([self.act(name) for name in list(self.world.objects)]):
                if self.at_rest():
                    break
                self.now += timedelta(seconds=10)
                self.collect()
                self.pod_collector_works()
                self.scheduler_works()
                for pod in range(4):
                    self.kubelet_reports(pod, True)
        else:
            raise AssertionError("the state does not converge")
        for name, pod in self.world.pods.items():
            if not pod.finished and pod.node:
                assert self.runs(name)
            if pod.rejected:
                assert name not in self.world.host
        assert {each.owner for each in self.world.nodes.values()} <= {
            uid_of(each) for each in self.world.objects.values()
        }
        if pods_go:
            assert not self.world.objects
            assert not self.world.host
            assert not self.world.nodes

    def at_rest(self) -> bool:
        """Return whether every pod has its machine, or waits for capacity."""
        pods, objects = self.world.pods, self.world.objects
        if set(self.world.host) - set(objects) or set(objects) - set(pods):
            return False
        waits = any(not pod.finished and not pod.node for pod in pods.values())
        return not waits or len(self.world.host) >= ROOM


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
