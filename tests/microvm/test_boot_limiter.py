"""The limit of concurrent boots."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.controllers.microvm.boot_limiter import BootLimiter
from tests.microvm.build import ADDRESSED, LAUNCHED, NOW, READY, condition, machine

_QUEUED = condition("Launched", "False", "Queued")

pytestmark = pytest.mark.unit

_ONE, _TWO, _THREE = (f"mvm-00000000b{number}" for number in (1, 2, 3))


def test_a_machine_counts_as_booting_from_launch_to_ready_for_a_limited_time() -> None:
    limiter = BootLimiter(at_once=1)
    assert limiter.is_next(_TWO, NOW)
    limiter.note(machine(ADDRESSED, LAUNCHED, name=_ONE))
    assert not limiter.is_next(_TWO, NOW)
    assert limiter.is_next(_TWO, NOW + timedelta(minutes=1))
    limiter.note(machine(ADDRESSED, LAUNCHED, READY, name=_ONE))
    assert limiter.is_next(_TWO, NOW)


def test_a_deleted_machine_blocks_no_other() -> None:
    limiter = BootLimiter(at_once=1)
    limiter.note(machine(ADDRESSED, LAUNCHED, name=_ONE))
    limiter.note(machine(ADDRESSED, LAUNCHED, name=_ONE, deleting=True))
    assert limiter.is_next(_TWO, NOW)
    limiter.note(machine(_QUEUED, name=_ONE))
    assert not limiter.is_next(_TWO, NOW)
    limiter.forget(_ONE)
    assert limiter.is_next(_TWO, NOW)


def test_a_machine_being_launched_counts_once() -> None:
    limiter = BootLimiter(at_once=2)
    with limiter.launching(_ONE):
        limiter.note(machine(ADDRESSED, LAUNCHED, name=_ONE))
        assert limiter.is_next(_TWO, NOW)
        with limiter.launching(_TWO):
            assert not limiter.is_next(_THREE, NOW)
    assert limiter.is_next(_THREE, NOW)


def test_the_oldest_machine_boots_next() -> None:
    limiter = BootLimiter(at_once=1)
    limiter.note(machine(_QUEUED, name=_ONE, created=NOW))
    limiter.note(machine(_QUEUED, name=_TWO, created=NOW - timedelta(seconds=1)))
    assert limiter.next() == [_TWO]
    assert limiter.is_next(_TWO, NOW)
    assert not limiter.is_next(_ONE, NOW)
    assert not limiter.is_next(_THREE, NOW), "unqueued machines come last"


@pytest.mark.row("S5")
def test_namespaces_take_turns() -> None:
    """A namespace with many machines delays another's first by no more than the current boots."""
    limiter = BootLimiter(at_once=2)
    many = [f"mvm-0000000d{number:02}" for number in range(50)]
    for name in many:
        limiter.note(machine(_QUEUED, name=name, namespace="many"))
    late = NOW + timedelta(hours=1)
    for name in (_ONE, _TWO):
        limiter.note(machine(_QUEUED, name=name, namespace="few", created=late))
    assert [name for name in (*many, _ONE, _TWO) if limiter.is_next(name, late)] == [many[0], _ONE]
    with limiter.launching(many[0]):
        assert limiter.is_next(_ONE, late)
        assert not limiter.is_next(many[1], late), "the other namespace has no boot yet"
        limiter.note(machine(ADDRESSED, LAUNCHED, name=_ONE, namespace="few"))
        assert not limiter.is_next(_TWO, NOW), "all boots are in use"
    assert limiter.is_next(many[0], NOW)
    assert {many[0], many[1], _TWO} <= set(limiter.next())


_STATES = {
    "new": (),
    "queued": (_QUEUED,),
    "booting": (ADDRESSED, LAUNCHED),
    "ready": (ADDRESSED, LAUNCHED, READY),
    "gone": None,
}


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(sorted(_STATES))), max_size=40),
    st.integers(1, 4),
)
def test_only_the_last_noted_state_of_each_machine_counts(
    story: list[tuple[int, str]], at_once: int
) -> None:
    """The next machines do not depend on the history of states."""
    limiter, plain = BootLimiter(at_once), BootLimiter(at_once)
    for number, kind in story:
        _note(limiter, number, kind)
    for number, kind in dict(story).items():
        _note(plain, number, kind)
    assert limiter.next() == plain.next()
    for number in range(10):
        assert limiter.is_next(_name(number), NOW) == plain.is_next(_name(number), NOW)


def _name(number: int) -> str:
    return f"mvm-00000000c{number}"


def _note(limiter: BootLimiter, number: int, kind: str) -> None:
    states = _STATES[kind]
    if states is None:
        limiter.forget(_name(number))
    else:
        # Some of the same age: names decide.
        created = NOW + timedelta(seconds=number // 2)
        namespace = f"n{number % 3}"
        limiter.note(machine(*states, name=_name(number), created=created, namespace=namespace))
