"""Selects the driver of a machine, with a reason. Pure.

KVM is preferred. Without it, User Mode Linux is, because it boots sooner and is faster than an
emulated processor; but it has one processor, so larger machines run under QEMU's TCG.
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
_BY_WORD: Final = {"": (QEMU_KVM, UML, QEMU_TCG), "qemu": (QEMU_KVM, QEMU_TCG)}
"""Drivers by requested word, the best first; any other word is the name of one driver."""
_SEPARATOR: Final = "; "


@dataclass(frozen=True, slots=True)
class Candidate:
    """A driver's properties on this host."""

    name: str
    max_milli_cpu: int
    """The largest machine that it supports, in thousandths of a vCPU."""
    unusable: str = ""
    """Why this host cannot run it; empty means it can."""


def choose(milli_cpu: int, requested: str, candidates: Sequence[Candidate]) -> DriverSelection:
    """Choose the driver for a machine.

    Args:
        milli_cpu: The machine's CPU in thousandths of a vCPU.
        requested: The requested word of ``keys.DRIVER_WORDS``; empty means any.
        candidates: All drivers.

    Raises:
        DriverUnavailableError: This host cannot run the requested driver, or any at all.
        SizeUnsupportedError: No usable driver supports this size.
    """
    known = {each.name: each for each in candidates}
    wanted = [
        known.get(name, Candidate(name, 0, "Monopod has no such driver here"))
        for name in _BY_WORD.get(requested, (requested,))
    ]
    usable = [each for each in wanted if not each.unusable]
    fitting = [each for each in usable if each.max_milli_cpu >= milli_cpu]
    if not fitting:
        raise _refusal(milli_cpu, requested, wanted, bool(usable))
    chosen = fitting[0]
    passed_over = _SEPARATOR.join(_objections(milli_cpu, wanted[: wanted.index(chosen)]))
    if requested:
        why = f"the pod or its profile requests {requested}"
    elif chosen.name == QEMU_KVM:
        why = "hardware virtualisation works on this host"
    else:
        why = ""
    message = f"runs under {chosen.name}: " + _SEPARATOR.join(filter(None, (why, passed_over)))
    return DriverSelection(
        chosen.name, chosen.name == QEMU_KVM, _reason(chosen.name, requested), message
    )


def automatic(candidates: Sequence[Candidate]) -> str:
    """Describe for users which drivers are chosen by default."""
    largest: dict[str, int] = {}
    for milli_cpu in sorted({size.milli_cpu for size in TABLE}):
        with suppress(DriverUnavailableError, SizeUnsupportedError):
            largest[choose(milli_cpu, "", candidates).driver] = milli_cpu
    said = [f"{name} up to {milli_cpu / 1000:g} vCPU" for name, milli_cpu in largest.items()]
    return ", then ".join(said) or "none: no driver can be used"


def _reason(name: str, requested: str) -> str:
    if name == QEMU_KVM:
        return "KvmWorks"
    return "DriverRequested" if requested in (UML, QEMU_TCG) else "KvmUnavailable"


def _objections(milli_cpu: int, candidates: Sequence[Candidate]) -> Iterator[str]:
    for each in candidates:
        if each.unusable:
            yield f"{each.name} cannot be used on this host: {each.unusable}"
        elif each.max_milli_cpu < milli_cpu:
            yield (
                f"{each.name} supports at most {each.max_milli_cpu / 1000:g} vCPU per machine, and"
                f" this one has {milli_cpu / 1000:g}"
            )


def _refusal(
    milli_cpu: int, requested: str, wanted: Sequence[Candidate], usable: bool
) -> DriverUnavailableError | SizeUnsupportedError:
    why = _SEPARATOR.join(_objections(milli_cpu, wanted))
    if usable:
        size = f"This host cannot run a machine of {milli_cpu / 1000:g} vCPU"
        said = f" under driver {requested}" if requested else ""
        return SizeUnsupportedError(f"{size}{said}: {why}")
    if requested:
        return DriverUnavailableError(f"Requested driver {requested} is unavailable: {why}")
    return DriverUnavailableError(f"No driver can be used on this host: {why}")
