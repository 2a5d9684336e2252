"""The size of a pod's machine, with every number that it is computed from."""

from collections.abc import Callable, Iterator
from typing import Final

from monopod.api import conditions, keys
from monopod.explain.findings import Finding, Section, bad, good, plain, remedy
from monopod.explain.snapshot import Snapshot
from monopod.fargate.sizing import (
    DEFAULT_STORAGE_GIB,
    MAX_STORAGE_REQUEST_GIB,
    RESERVED_MEMORY_MIB,
    STORAGE_RESERVE_GIB,
    STORAGE_RESERVE_PERCENT,
    TABLE,
    Arithmetic,
    QuantityError,
    Requests,
    Role,
    Size,
    arithmetic,
    provisioned_annotation,
)

_TITLE: Final = "Size"
_RESIZES: Final = ("PodResizePending", "PodResizeInProgress")
"""Conditions of a pod during an in-place resize that its kubelet has not completed."""
_MIB: Final = 1 << 20
_GIB: Final = 1 << 30


def section(snapshot: Snapshot) -> Section:
    """Describe the arithmetic from the containers' requests to a row of Fargate's table."""
    return Section(_TITLE, tuple(_findings(snapshot)))


def _findings(snapshot: Snapshot) -> Iterator[Finding]:
    try:
        sized = arithmetic(snapshot.spec)
    except QuantityError as error:
        yield bad(str(error))
        return
    yield plain(f"cpu: {_sum(sized.cpu, cpu)}")
    reserve = (f"{RESERVED_MEMORY_MIB} MiB (platform)",)
    total = memory(sized.memory_needed_bytes * 1000)
    yield plain(f"memory: {_sum(sized.memory, memory, extra=reserve, total=total)}")
    if sized.size is None:
        yield bad(f"no size is large enough; the largest is {TABLE[-1]}")
        yield remedy("lower the containers' requests, or opt the pod out of Fargate", 1)
    else:
        yield good(f"smallest vCPU, and with it the smallest memory, for both: {sized.size}")
    storage = _sum(sized.storage, memory)
    if sized.storage_gib is None:
        yield bad(f"ephemeral storage: {storage}; at most {MAX_STORAGE_REQUEST_GIB} GiB")
    else:
        yield plain(
            f"ephemeral storage: {storage}; with {STORAGE_RESERVE_PERCENT} % of it and"
            f" {STORAGE_RESERVE_GIB} GiB for the platform, and {DEFAULT_STORAGE_GIB} GiB at least,"
            f" provisioned {sized.storage_gib} GiB"
        )
    yield from _given(snapshot, sized)
    for kind in _RESIZES:
        turned = snapshot.condition(kind)
        if turned is not None and turned.status == conditions.TRUE:
            yield bad(": ".join(part for part in (kind, turned.reason, turned.message) if part))


def _given(snapshot: Snapshot, sized: Arithmetic) -> Iterator[Finding]:
    """Compare the pod's provisioned size with the size for its current requests."""
    given = snapshot.annotations.get(keys.CAPACITY_ANNOTATION)
    if given is None or sized.size is None:
        return
    machine = snapshot.machine
    if given == provisioned_annotation(sized.size):
        yield good(f"{keys.CAPACITY_ANNOTATION}: {given}")
    elif machine is not None and sized.fits(Size.of(machine.spec)):
        yield good(
            f"{keys.CAPACITY_ANNOTATION}: {given} - the pod was resized since it was scheduled, and"
            " its machine has enough for its current requests"
        )
    else:
        yield bad(
            f"{keys.CAPACITY_ANNOTATION}: {given} - the pod's requests have changed since it was"
            " scheduled, but a machine's size is fixed"
        )


def cpu(milli: int) -> str:
    """Format thousandths of a vCPU."""
    return f"{milli / 1000:g} vCPU"


def memory(milli_bytes: int) -> str:
    """Format thousandths of a byte in the units of requests."""
    amount = -(-milli_bytes // 1000)
    if amount >= _GIB and amount % _GIB == 0:
        return f"{amount // _GIB} GiB"
    return f"{amount / _MIB:.6g} MiB"


def _sum(
    demand: Requests,
    write: Callable[[int], str],
    *,
    extra: tuple[str, ...] = (),
    total: str | None = None,
) -> str:
    if demand.pod_level:
        parts = [f"{write(demand.milli - demand.overhead_milli)} (pod-level request)"]
    else:
        parts = [
            f"{write(share.milli)} ({share.container}"
            + (f", {share.role.value}" if share.role is not Role.APP else "")
            + ")"
            for share in demand.shares
        ]
    if demand.overhead_milli:
        parts.append(f"{write(demand.overhead_milli)} (runtime class)")
    parts = [*(parts or ["nothing requested"]), *extra]
    if len(parts) == 1:
        return parts[0]
    return f"{' + '.join(parts)} = {total or write(demand.milli)}"
