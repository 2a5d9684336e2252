"""Shares of this host's capacity between namespaces. Pure.

A namespace's share is the larger of its shares of CPU and of memory, as in Dominant Resource
Fairness. While machines wait for room, the one whose namespace would have the smallest share with
it goes first, and none with a larger share takes the room that it needs.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from monopod.fargate.sizing import Size
from monopod.node.provider import CapacityUnavailableError
from monopod.node.provider.host_capacity import fits, total

_TRUSTED_S: Final = 40.0
"""A machine that lacks room is tried every 15 s; one that is not any more has gone."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    namespace: str
    size: Size
    until: float
    """When it no longer counts, by the queue's clock."""


class RoomQueue:
    """The machines that wait for room, as far as their last launches showed.

    Cache only: after a restart each machine is in it again with its next launch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take a clock in seconds."""
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}

    def wait(self, name: str, namespace: str, size: Size) -> None:
        """Record that a machine was refused for lack of CPU or memory."""
        self._waiting[name] = _Waiting(namespace, size, self._clock() + _TRUSTED_S)

    def leave(self, name: str) -> None:
        """Record that a machine has room, or needs none any more. Idempotent."""
        self._waiting.pop(name, None)

    def check_turn(
        self, namespace: str, size: Size, taken: Mapping[str, Size], whole: Size
    ) -> None:
        """Check that no machine that waits comes first.

        Args:
            namespace: The machine's. Empty means none, as worker nodes have: those come first.
            size: Its reservation.
            taken: Each namespace's reservations, added up.
            whole: The total that machines may reserve.

        Raises:
            CapacityUnavailableError: One of another namespace comes first.
        """
        now = self._clock()
        self._waiting = {name: of for name, of in self._waiting.items() if of.until > now}
        if not namespace:
            return
        own = share_with(namespace, size, taken, whole)
        used = total([*taken.values(), size])
        free = Size(whole.milli_cpu - used.milli_cpu, whole.memory_mib - used.memory_mib)
        for each in self._waiting.values():
            if each.namespace in ("", namespace) or fits(each.size, free):
                continue
            if share_with(each.namespace, each.size, taken, whole) < own:
                raise CapacityUnavailableError(
                    "it is the turn of a namespace with less of this host: with this machine,"
                    f" namespace {namespace} would have {own:.0%} of it, and one whose machines"
                    " wait for room would have less"
                )


def cpu_parts(machines: Mapping[str, tuple[str, Size]]) -> dict[str, float]:
    """Return what each machine gets of contended CPU, from 0 to 1, by namespace and size.

    All machines have 1 together. Each namespace has the same part, which its machines divide by
    their vCPU: a namespace with many does not slow down that of a few. A machine without a
    namespace, which is a worker node, has the part of a namespace.
    """
    owners = {
        name: (namespace, "" if namespace else name) for name, (namespace, _) in machines.items()
    }
    together = Counter[tuple[str, str]]()
    for name, (_, size) in machines.items():
        together[owners[name]] += size.milli_cpu
    return {
        name: size.milli_cpu / max(1, together[owners[name]]) / len(together)
        for name, (_, size) in machines.items()
    }


def share_with(namespace: str, size: Size, taken: Mapping[str, Size], whole: Size) -> float:
    """Return a namespace's share of a host, from 0 to 1, once it has one more machine."""
    before = taken.get(namespace, Size(0, 0))
    return max(
        (before.milli_cpu + size.milli_cpu) / max(1, whole.milli_cpu),
        (before.memory_mib + size.memory_mib) / max(1, whole.memory_mib),
    )


def check_bound(
    namespace: str, size: Size, taken: Mapping[str, Size], whole: Size, ratio: float
) -> None:
    """Check that a namespace has no more than its bound with one more machine.

    Raises:
        CapacityUnavailableError: It would.
    """
    own = share_with(namespace, size, taken, whole)
    if namespace and own > ratio < 1:
        raise CapacityUnavailableError(
            f"namespace {namespace} would have {own:.0%} of this host's CPU or memory for machines"
            f" with this one, and may have {ratio:.0%} (MONOPOD_LOCAL_NAMESPACE_RATIO)"
        )
