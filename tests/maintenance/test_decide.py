"""The steps of a drain: from tables of states, and over whole drains of a model host."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.controlplane.maintenance.decide import (
    OUTLIVED,
    RETRY,
    Action,
    CordonNode,
    DeleteMachine,
    DeletePod,
    Evict,
    StopNode,
    TaintNode,
    decide,
    is_done,
    left,
)
from monopod.controlplane.maintenance.state import (
    MachineView,
    Options,
    PodView,
    Refusal,
    State,
)

pytestmark = [pytest.mark.unit, pytest.mark.row("S21")]

NOW = datetime(2026, 11, 30, 6, tzinfo=UTC)
PLAIN = Options()


def _s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _pod(name: str, **fields: object) -> PodView:
    return replace(PodView("shop", name, f"uid-{name}", f"mvm-{name}"), **fields)  # type: ignore[arg-type]


def _machine(name: str, **fields: object) -> MachineView:
    made = MachineView(name, f"uid-{name}", f"node-{name}", bound=True)
    return replace(made, **fields)  # type: ignore[arg-type]


def _state(
    pods: Iterable[PodView] = (),
    machines: Iterable[MachineView] = (),
    refusals: dict[str, Refusal] | None = None,
) -> State:
    """Return a state in which all machines run; a pod without one has its own."""
    found = {each.name: each for each in machines}
    pods = tuple(pods)
    for pod in pods:
        found.setdefault(pod.machine, _machine(pod.machine))
    return State(pods, found, frozenset(found), NOW, refusals or {})


def _refused(since_s: float, at_s: float = 0.0) -> Refusal:
    return Refusal(NOW - _s(since_s), NOW - _s(at_s), "budget")


A, B = _pod("a"), _pod("b")
WORKER = _machine("worker", worker=True, bound=False, has_node=True)
CORDONED = replace(WORKER, unschedulable=True)
TAINTED = replace(CORDONED, tainted=True)
ON_WORKER = _pod("on", machine="worker")
DAEMON = _pod("daemon", machine="worker", daemon=True)
BY_FORCE = Options(force_after=_s(60))

CASES: dict[str, tuple[State, Options, tuple[Action, ...]]] = {
    "all at once": (_state([B, A]), PLAIN, (Evict(A), Evict(B))),
    "a few at once": (_state([A, B]), Options(at_once=1), (Evict(A),)),
    "one terminates": (
        _state([replace(A, ends=NOW + _s(30)), B]),
        Options(at_once=1),
        (),
    ),
    "without an owner last": (
        _state([replace(A, owned=False), B]),
        Options(at_once=1),
        (Evict(B),),
    ),
    "of the system last": (_state([replace(A, system=True), B]), PLAIN, (Evict(B),)),
    "of the system, while others terminate": (
        _state([replace(A, system=True), replace(B, ends=NOW + _s(30))]),
        PLAIN,
        (),
    ),
    "of the system, and no others": (
        _state([replace(A, system=True)]),
        PLAIN,
        (Evict(replace(A, system=True)),),
    ),
    "finished": (
        _state([replace(A, finished=True)]),
        PLAIN,
        (Evict(replace(A, finished=True)),),
    ),
    "finished, at a shutdown": (_state([replace(A, finished=True)]), Options(finished=False), ()),
    "refused just now": (_state([A], refusals={A.uid: _refused(1)}), PLAIN, ()),
    "refused, but others are not": (
        _state([A, B], refusals={A.uid: _refused(1)}),
        Options(at_once=1),
        (Evict(B),),
    ),
    "refused a while ago": (
        _state([A], refusals={A.uid: _refused(99, RETRY.total_seconds())}),
        PLAIN,
        (Evict(A),),
    ),
    "refused for as long as is waited": (
        _state([A], refusals={A.uid: _refused(60)}),
        BY_FORCE,
        (DeletePod(A),),
    ),
    "refused, and waited for": (_state([A], refusals={A.uid: _refused(59)}), BY_FORCE, ()),
    "terminates too long": (
        _state([replace(A, ends=NOW - OUTLIVED)]),
        PLAIN,
        (DeleteMachine(_machine("mvm-a")),),
    ),
    "boots for a pod that is not bound": (
        _state(machines=[_machine("mvm-c", bound=False)]),
        PLAIN,
        (DeleteMachine(_machine("mvm-c", bound=False)),),
    ),
    "is deleted already": (
        _state(machines=[_machine("mvm-c", bound=False, deleting=True)]),
        PLAIN,
        (),
    ),
    "a worker node": (_state([ON_WORKER], [WORKER]), PLAIN, (CordonNode(WORKER), Evict(ON_WORKER))),
    "a worker node without other pods": (
        _state([DAEMON], [CORDONED]),
        PLAIN,
        (TaintNode(CORDONED),),
    ),
    "a worker node whose daemons end": (_state([DAEMON], [TAINTED]), PLAIN, ()),
    "a worker node whose daemons stay": (
        _state([replace(DAEMON, stays=True)], [TAINTED]),
        PLAIN,
        (StopNode(TAINTED),),
    ),
    "a worker node without pods": (_state([], [TAINTED]), PLAIN, (StopNode(TAINTED),)),
    "a worker node that is stopped": (_state([], [replace(TAINTED, has_node=False)]), PLAIN, ()),
}


@pytest.mark.parametrize("case", CASES)
def test_steps(case: str) -> None:
    state, options, expected = CASES[case]
    assert decide(state, options) == expected


def test_grace_periods_are_cut_to_the_time_that_is_left() -> None:
    options = Options(deadline=NOW + _s(60), system_time=_s(20), finished=False)
    for pod, grace_s in (
        (replace(A, grace_s=300), 40),
        (replace(A, grace_s=5), 5),
        (replace(A, grace_s=300, system=True), 60),
    ):
        assert decide(_state([pod]), options) == (Evict(pod, grace_s),)
    # Also of one that terminates already; but 0 would be no grace at all.
    late = replace(A, grace_s=300, ends=NOW + _s(300))
    assert decide(_state([late]), options) == (DeletePod(late, 40),)
    past = replace(options, deadline=NOW - _s(5))
    assert decide(_state([A]), past) == (Evict(A, 1),)


def test_what_a_drain_waits_for() -> None:
    assert is_done(_state(), PLAIN)
    assert not is_done(_state(machines=[_machine("mvm-a")]), PLAIN)
    assert is_done(_state(machines=[_machine("mvm-a")]), Options(finished=False))
    assert left(_state([A, replace(DAEMON, stays=True)], [TAINTED]), PLAIN) == [A]


class _Host:
    """A model of the host: what its API server and kubelets do with the steps of a drain."""

    def __init__(self, pods: list[PodView], protected: set[str], workers: int) -> None:
        machines = [replace(WORKER, name=f"worker-{number}") for number in range(workers)]
        self.state = _state(pods, machines)
        self.protected = protected
        self.ended: list[PodView] = []
        self.deleted: list[PodView] = []

    def step(self, actions: tuple[Action, ...]) -> None:
        """Carry out steps; then all pods that terminated before have ended."""
        state = self.state
        machines, refusals = dict(state.machines), dict(state.refusals)
        pods = {pod.uid: pod for pod in state.pods if pod.ends is None}
        self.ended += [pod for pod in state.pods if pod.ends is not None]
        running = {
            name
            for name in state.running
            if machines[name].worker or any(pod.machine == name for pod in pods.values())
        }
        for action in actions:
            match action:
                case Evict(pod, _) if pod.uid in self.protected:
                    before = refusals.get(pod.uid)
                    since = before.since if before else state.now
                    refusals[pod.uid] = Refusal(since, state.now, "budget")
                case Evict(pod, _) | DeletePod(pod, _):
                    if isinstance(action, DeletePod):
                        self.deleted.append(pod)
                    pods[pod.uid] = replace(pod, ends=state.now + _s(1))
                case CordonNode(machine):
                    machines[machine.name] = replace(machine, unschedulable=True)
                case TaintNode(machine):
                    machines[machine.name] = replace(machine, tainted=True)
                    for pod in list(pods.values()):
                        if pod.machine == machine.name and not pod.stays:
                            pods[pod.uid] = replace(pod, ends=state.now + _s(1))
                case StopNode(machine):
                    machines[machine.name] = replace(machine, has_node=False)
                    running.discard(machine.name)
                    pods = {uid: pod for uid, pod in pods.items() if pod.machine != machine.name}
                case DeleteMachine(machine):
                    raise AssertionError(machine)
        self.state = State(
            tuple(pods.values()), machines, frozenset(running), state.now + _s(1), refusals
        )


_INTERRUPTIONS = 5
_PODS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 3), st.booleans()),
    max_size=12,
)


@given(_PODS, st.integers(0, 3), st.integers(1, 4), st.booleans(), st.data())
def test_any_drain_ends_with_the_system_last_and_no_protected_pod_deleted(
    drawn: list[tuple[bool, bool, bool, int, bool]],
    workers: int,
    at_once: int,
    force: bool,
    data: st.DataObject,
) -> None:
    pods = [
        _pod(
            f"p{number:02}",
            owned=owned,
            system=system and not daemon,
            daemon=daemon and 0 < worker <= workers,
            stays=daemon and number % 2 == 0,
            machine=f"worker-{worker - 1}" if 0 < worker <= workers else f"mvm-{number}",
        )
        for number, (owned, system, daemon, worker, _) in enumerate(drawn)
    ]
    protected = {
        pod.uid for pod, each in zip(pods, drawn, strict=True) if each[4] and not pod.daemon
    }
    host = _Host(pods, protected, workers)
    options = Options(at_once=at_once, force_after=_s(10) if force else None)
    interrupted = 0
    for _ in range(200):
        actions = decide(host.state, options)
        host.step(actions)
        ending = sum(pod.ends is not None and not pod.daemon for pod in host.state.pods)
        assert ending <= at_once
        if interrupted < _INTERRUPTIONS and data.draw(st.booleans()):
            # Repeated: only the refusals are forgotten.
            interrupted += 1
            host.state = replace(host.state, refusals={})
        if is_done(host.state, options):
            break
    if force or not protected:
        assert is_done(host.state, options)
    if not force:
        assert not host.deleted
        assert {pod.uid for pod in host.state.pods} >= protected
    assert {pod.uid for pod in host.deleted} <= protected
    systems = [pod.system for pod in host.ended if not pod.daemon]
    assert systems == sorted(systems)
