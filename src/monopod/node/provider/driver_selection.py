"""Selects the driver of a machine, with a reason. Pure.

KVM is preferred. Without it, gVisor is, because it boots sooner and is faster than User Mode Linux,
which runs what needs a Linux kernel and has one processor. QEMU's TCG is no isolation boundary, as
its own documentation says: it is chosen where it is requested, or where the operator allows it.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from monopod.api import keys
from monopod.fargate.sizing import TABLE
from monopod.node.provider import DriverSelection, DriverUnavailableError, SizeUnsupportedError

TCG_SETTING: Final = "MONOPOD_LOCAL_TCG"
_DEFAULT: Final = {
    "": (keys.DRIVER_KVM, keys.DRIVER_GVISOR, keys.DRIVER_UML),
    keys.DRIVER_LINUX: (keys.DRIVER_KVM, keys.DRIVER_UML),
}
"""Drivers by requested word, the best first; last comes TCG, where it is allowed."""
_EITHER: Final = {"qemu": (keys.DRIVER_KVM, keys.DRIVER_TCG)}
"""Likewise; any other word is the name of one driver."""
_SEPARATOR: Final = "; "
_HOST: Final = "this host"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A driver's properties on this host."""

    name: str
    max_milli_cpu: int
    """The largest machine that it supports, in thousandths of a vCPU."""
    unusable: str = ""
    """Why this host cannot run it; empty means it can."""


def choose(
    milli_cpu: int,
    requested: str,
    candidates: Sequence[Candidate],
    *,
    tcg: bool = False,
    host: str = _HOST,
) -> DriverSelection:
    """Choose the driver for a machine.

    Args:
        milli_cpu: The machine's CPU in thousandths of a vCPU.
        requested: The requested word of ``keys.DRIVER_WORDS``; empty means any.
        candidates: All drivers.
        tcg: Whether a machine may run under TCG without a request for it.
        host: What runs it, for messages.

    Raises:
        DriverUnavailableError: This host cannot run the requested driver, or any at all.
        SizeUnsupportedError: No usable driver supports this size.
    """
    known = {each.name: each for each in candidates}
    wanted = [
        known.get(name, Candidate(name, 0, "Monopod has no such driver here"))
        for name in _names(requested, tcg)
    ]
    usable = [each for each in wanted if not each.unusable]
    fitting = [each for each in usable if each.max_milli_cpu >= milli_cpu]
    if not fitting:
        hint = _tcg_hint(milli_cpu, requested, known.get(keys.DRIVER_TCG), wanted)
        raise _refusal(milli_cpu, requested, wanted, host, hint)
    chosen = fitting[0]
    passed_over = _SEPARATOR.join(_objections(milli_cpu, wanted[: wanted.index(chosen)], host))
    if requested == keys.DRIVER_LINUX:
        why = "a guest with a Linux kernel is needed"
    elif requested:
        why = f"the pod or its profile requests {requested}"
    elif chosen.name == keys.DRIVER_KVM:
        why = f"hardware virtualisation works on {host}"
    else:
        why = ""
    message = f"runs under {chosen.name}: " + _SEPARATOR.join(filter(None, (why, passed_over)))
    return DriverSelection(
        chosen.name, chosen.name == keys.DRIVER_KVM, _reason(chosen.name, requested), message
    )


def automatic(candidates: Sequence[Candidate], *, tcg: bool = False) -> str:
    """Describe for users which drivers are chosen by default."""
    largest: dict[str, int] = {}
    for milli_cpu in sorted({size.milli_cpu for size in TABLE}):
        with suppress(DriverUnavailableError, SizeUnsupportedError):
            largest[choose(milli_cpu, "", candidates, tcg=tcg).driver] = milli_cpu
    said = [f"{name} up to {milli_cpu / 1000:g} vCPU" for name, milli_cpu in largest.items()]
    return ", then ".join(said) or "none: no driver can be used"


def _names(requested: str, tcg: bool) -> tuple[str, ...]:
    default = _DEFAULT.get(requested)
    if default is None:
        return _EITHER.get(requested, (requested,))
    return (*default, keys.DRIVER_TCG) if tcg else default


def _tcg_hint(
    milli_cpu: int, requested: str, tcg: Candidate | None, wanted: Sequence[Candidate]
) -> str:
    """Return what to do where only TCG could run a machine, which is not allowed to."""
    if requested not in _DEFAULT or tcg is None or tcg in wanted:
        return ""
    if tcg.unusable or tcg.max_milli_cpu < milli_cpu:
        return ""
    return (
        f"{keys.DRIVER_TCG} could, but emulation is no isolation boundary: request it by annotation"
        f" {keys.DRIVER_ANNOTATION}, or allow it for all pods with {TCG_SETTING}=true"
    )


def _reason(name: str, requested: str) -> str:
    if name == keys.DRIVER_KVM:
        return "KvmWorks"
    named = requested in (keys.DRIVER_UML, keys.DRIVER_GVISOR, keys.DRIVER_TCG)
    return "DriverRequested" if named else "KvmUnavailable"


def _objections(milli_cpu: int, candidates: Sequence[Candidate], host: str) -> Iterator[str]:
    for each in candidates:
        if each.unusable:
            yield f"{each.name} cannot be used on {host}: {each.unusable}"
        elif each.max_milli_cpu < milli_cpu:
            yield (
                f"{each.name} supports at most {each.max_milli_cpu / 1000:g} vCPU per machine, and"
                f" this one has {milli_cpu / 1000:g}"
            )


def _refusal(
    milli_cpu: int, requested: str, wanted: Sequence[Candidate], host: str, hint: str
) -> DriverUnavailableError | SizeUnsupportedError:
    why = _SEPARATOR.join([*_objections(milli_cpu, wanted, host), *filter(None, (hint,))])
    if any(not each.unusable for each in wanted):
        size = f"{host[0].upper()}{host[1:]} cannot run a machine of {milli_cpu / 1000:g} vCPU"
        said = f" under driver {requested}" if requested else ""
        return SizeUnsupportedError(f"{size}{said}: {why}")
    if requested:
        return DriverUnavailableError(f"Requested driver {requested} is unavailable: {why}")
    return DriverUnavailableError(f"No driver can be used on {host}: {why}")
