"""Which driver a machine runs under, and why. Pure.

Hardware isolation is preferred to none. Without it, User Mode Linux is, because it starts sooner
and is faster than an emulated processor; but it has one processor, so larger machines are emulated.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from monopod.fargate.sizing import TABLE
from monopod.node.provider import DriverSelection, DriverUnavailableError, SizeUnsupportedError

UML: Final = "uml"
QEMU_TCG: Final = "qemu-tcg"
QEMU_KVM: Final = "qemu-kvm"
_MEANS: Final = {"": (QEMU_KVM, UML, QEMU_TCG), "qemu": (QEMU_KVM, QEMU_TCG)}
"""Drivers that a word stands for, the best first; any other word is a driver's own name."""
_SEPARATOR: Final = "; "


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a driver says of itself on this host."""

    name: str
    max_milli_cpu: int
    """The most CPU one machine of this kind can have, in thousandths of a vCPU."""
    unusable: str = ""
    """Why this host cannot run such machines; empty if it can."""


def choose(milli_cpu: int, insisted: str, candidates: Sequence[Candidate]) -> DriverSelection:
    """Choose the driver for a machine.

    Args:
        milli_cpu: Its CPU in thousandths of a vCPU.
        insisted: A word of ``keys.DRIVER_WORDS``; empty if nobody insists.
        candidates: Every driver there is.

    Raises:
        DriverUnavailableError: This host cannot run what is insisted on, or nothing at all.
        SizeUnsupportedError: It can, but none of it is large enough.
    """
    known = {each.name: each for each in candidates}
    wanted = [
        known.get(name, Candidate(name, 0, "Monopod has no such driver here"))
        for name in _MEANS.get(insisted, (insisted,))
    ]
    usable = [each for each in wanted if not each.unusable]
    fitting = [each for each in usable if each.max_milli_cpu >= milli_cpu]
    if not fitting:
        raise _refusal(milli_cpu, insisted, wanted, bool(usable))
    chosen = fitting[0]
    passed_over = _SEPARATOR.join(_objections(milli_cpu, wanted[: wanted.index(chosen)]))
    if insisted:
        why = f"the pod or its profile insists on {insisted}"
    elif chosen.name == QEMU_KVM:
        why = "hardware virtualisation works on this host"
    else:
        why = ""
    message = f"runs under {chosen.name}: " + _SEPARATOR.join(filter(None, (why, passed_over)))
    return DriverSelection(
        chosen.name, chosen.name == QEMU_KVM, _reason(chosen.name, insisted), message
    )


def automatic(candidates: Sequence[Candidate]) -> str:
    """Return, for people, which drivers are chosen where nobody insists on one."""
    largest: dict[str, int] = {}
    for milli_cpu in sorted({size.milli_cpu for size in TABLE}):
        with suppress(DriverUnavailableError, SizeUnsupportedError):
            largest[choose(milli_cpu, "", candidates).driver] = milli_cpu
    said = [f"{name} up to {milli_cpu / 1000:g} vCPU" for name, milli_cpu in largest.items()]
    return ", then ".join(said) or "nothing: no driver can be used"


def _reason(name: str, insisted: str) -> str:
    if name == QEMU_KVM:
        return "KvmWorks"
    return "DriverInsistedOn" if insisted in (UML, QEMU_TCG) else "KvmUnavailable"


def _objections(milli_cpu: int, candidates: Sequence[Candidate]) -> Iterator[str]:
    for each in candidates:
        if each.unusable:
            yield f"{each.name} cannot be used on this host: {each.unusable}"
        elif each.max_milli_cpu < milli_cpu:
            yield (
                f"machines of {each.name} have at most {each.max_milli_cpu / 1000:g} vCPU, and this"
                f" one has {milli_cpu / 1000:g}"
            )


def _refusal(
    milli_cpu: int, insisted: str, wanted: Sequence[Candidate], usable: bool
) -> DriverUnavailableError | SizeUnsupportedError:
    why = _SEPARATOR.join(_objections(milli_cpu, wanted))
    if usable:
        size = f"No machine of {milli_cpu / 1000:g} vCPU can be run on this host"
        said = f" under driver {insisted}" if insisted else ""
        return SizeUnsupportedError(f"{size}{said}: {why}")
    if insisted:
        return DriverUnavailableError(f"Driver {insisted} is insisted on, but {why}")
    return DriverUnavailableError(f"No driver can be used on this host: {why}")
