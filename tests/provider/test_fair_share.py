"""Shares of the host's capacity between namespaces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.fargate.sizing import Size
from monopod.node.provider import CapacityUnavailableError
from monopod.node.provider.fair_share import RoomQueue, check_bound, cpu_parts, share_with

pytestmark = pytest.mark.unit

_WHOLE = Size(8000, 16384)
_SMALL = Size(1000, 1024)
_LARGE = Size(4000, 2048)


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _refused(queue: RoomQueue, namespace: str, size: Size, taken: dict[str, Size]) -> bool:
    try:
        queue.check_turn(namespace, size, taken, _WHOLE)
    except CapacityUnavailableError:
        return True
    return False


def test_the_namespace_with_the_smaller_share_is_next() -> None:
    queue = RoomQueue(_Clock())
    taken = {"many": Size(7000, 7168), "few": Size(1000, 1024)}
    assert not _refused(queue, "many", _SMALL, taken)
    queue.wait("mvm-few", "few", _SMALL)
    full_but_one = taken | {"many": Size(6000, 6144)}
    with pytest.raises(CapacityUnavailableError, match="namespace many would have 88% of it"):
        queue.check_turn("many", _SMALL, full_but_one | {"others": _SMALL}, _WHOLE)
    assert not _refused(queue, "few", _SMALL, full_but_one)
    queue.leave("mvm-few")
    assert not _refused(queue, "many", _SMALL, full_but_one)


def test_a_large_machine_gets_its_room_though_small_ones_would_fit_sooner() -> None:
    queue = RoomQueue(_Clock())
    queue.wait("mvm-few", "few", _LARGE)
    taken = {"many": Size(7000, 7168)}
    while not _refused(queue, "few", _LARGE, taken) and taken["many"].milli_cpu > 4000:
        assert _refused(queue, "many", _SMALL, taken)
        taken["many"] = Size(taken["many"].milli_cpu - 1000, 4096)
    assert taken["many"].milli_cpu == 4000


def test_a_waiting_machine_holds_up_none_with_less() -> None:
    """An attacker's machine that will not fit for long must not end other namespaces' starts."""
    queue = RoomQueue(_Clock())
    queue.wait("mvm-hostile", "hostile", _LARGE)
    taken = {"hostile": Size(1000, 1024), "victim": Size(3000, 3072), "others": Size(3000, 3072)}
    assert not _refused(queue, "victim", _SMALL, taken)
    assert not _refused(queue, "hostile", _SMALL, taken)
    assert not _refused(queue, "", _LARGE, taken)


def test_where_both_fit_neither_waits() -> None:
    queue = RoomQueue(_Clock())
    queue.wait("mvm-few", "few", _SMALL)
    assert not _refused(queue, "many", _SMALL, {"many": Size(6000, 6144)})


def test_one_that_does_not_come_back_no_longer_counts() -> None:
    clock = _Clock()
    queue = RoomQueue(clock)
    queue.wait("mvm-few", "few", _SMALL)
    taken = {"many": Size(7000, 7168)}
    assert _refused(queue, "many", _SMALL, taken)
    clock.now = 41.0
    assert not _refused(queue, "many", _SMALL, taken)


def test_the_bound_of_a_namespace() -> None:
    taken = {"a": Size(3000, 3072), "b": Size(4000, 4096)}
    check_bound("a", _SMALL, taken, _WHOLE, 0.5)
    with pytest.raises(CapacityUnavailableError) as refused:
        check_bound("b", _SMALL, taken, _WHOLE, 0.5)
    assert str(refused.value) == (
        "namespace b would have 62% of this host's CPU or memory for machines with this one, and"
        " may have 50% (MONOPOD_LOCAL_NAMESPACE_RATIO)"
    )
    check_bound("", Size(8000, 16384), taken, _WHOLE, 0.5)


def test_the_machines_of_a_namespace_have_one_part_of_the_cpu_together() -> None:
    machines = {f"mvm-{number}": ("many", Size(250, 512)) for number in range(3)}
    machines |= {"mvm-large": ("many", Size(1250, 512)), "mvm-few": ("few", Size(250, 512))}
    machines |= {f"mvm-worker-{number}": ("", Size(2000, 4096)) for number in range(2)}
    parts = cpu_parts(machines)
    assert parts["mvm-few"] == parts["mvm-worker-0"] == parts["mvm-worker-1"] == 0.25
    assert parts["mvm-0"] == 0.125 * 0.25
    assert parts["mvm-large"] == 0.625 * 0.25
    assert sum(parts.values()) == 1


_SIZES = st.builds(Size, st.integers(250, 8000), st.integers(512, 16384))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), _SIZES), min_size=1),
    st.dictionaries(st.sampled_from("abc"), _SIZES),
)
def test_somebody_is_always_next(waiting: list[tuple[str, Size]], taken: dict[str, Size]) -> None:
    queue = RoomQueue(_Clock())
    for number, (namespace, size) in enumerate(waiting):
        queue.wait(f"mvm-{number}", namespace, size)
    first = min(waiting, key=lambda each: share_with(*each, taken, _WHOLE))
    assert not _refused(queue, *first, taken)
