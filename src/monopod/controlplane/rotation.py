"""Replaces authorities and the key of service accounts' tokens, with two in force meanwhile.

Each call advances a rotation by one phase, if nothing depends on the previous phase any more.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final

import msgspec

from monopod.api.resources import MicroVM
from monopod.controlplane import lifecycle, preflight, state
from monopod.controlplane.control_plane import ControlPlane
from monopod.controlplane.errors import ClusterError
from monopod.identity.rotation import LONGEST_SIGNED, Generations, Phase
from monopod.identity.store import IdentityStore
from monopod.kube import meta, name_of
from monopod.settings import Settings
from monopod.util.progress import Report, ignore

_SHOWN: Final = 5


class RotationError(ClusterError):
    """A rotation cannot continue yet; the message names what it waits for."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a rotation needs to know of a machine."""

    name: str
    launched: dt.datetime


def next_of_authorities(
    now: dt.datetime, known: Generations, machines: list[Machine], *, force: bool
) -> Generations:
    """Return the phase that follows.

    A machine trusts the authorities of its launch until its end, so the next authority signs only
    when no machine is left from before. Certificates that the previous one issued to kubelets are
    valid for a day, so it is trusted for as long.

    Args:
        now: The time.
        known: The present phase.
        machines: All machines of the cluster.
        force: Whether to continue although something depends on the previous phase.

    Raises:
        RotationError: Something depends on the previous phase.
    """
    if known.phase is Phase.SETTLED:
        return known.trusting(now)
    since = known.since or now
    if known.phase is Phase.SIGNING:
        _wait_for_the_previous(now, since, force=force)
        return known.settled(now)
    before = sorted(each.name for each in machines if each.launched < since)
    if before and not force:
        more = f" and {len(before) - _SHOWN} more" if len(before) > _SHOWN else ""
        raise RotationError(
            "these machines do not trust the next authorities, which are newer:"
            f" {', '.join(before[:_SHOWN])}{more}. Replace their pods, or use --force, which cuts"
            " these machines off: they are terminated and their pods replaced by their owners"
        )
    return known.signing(now)


def next_of_token_key(now: dt.datetime, known: Generations, *, force: bool) -> Generations:
    """Return the phase that follows. A single API server needs no phase of mere trust.

    Raises:
        RotationError: Tokens that the previous key signed may still be valid.
    """
    if known.phase is Phase.SETTLED:
        return known.trusting(now).signing(now)
    _wait_for_the_previous(now, known.since or now, force=force)
    return known.settled(now)


async def rotate_authorities(
    settings: Settings, report: Report = ignore, *, force: bool = False
) -> Generations:
    """Advance the rotation of all authorities by one phase; the control plane restarts.

    Idempotent after a kill: the next ``monopod up`` completes the phase.

    Raises:
        HostUnfitError: Not root.
        NoClusterError: There is no cluster in this home.
        RotationError: Something depends on the previous phase.
        ClusterError: A process did not become ready.
        IdentityError: The authorities could not be read or written.
        KubeError: The machines could not be listed.
    """
    preflight.check_root()
    plane = lifecycle.running(settings)
    with state.locked(plane.layout.home):
        store = IdentityStore(plane.layout.identities)
        known = store.rotations()
        now = dt.datetime.now(dt.UTC)
        machines = [] if known.authorities.phase is not Phase.TRUSTED else await _machines(plane)
        phase = next_of_authorities(now, known.authorities, machines, force=force)
        store.set_rotations(msgspec.structs.replace(known, authorities=phase))
        await plane.start(report)
        # Until the MicroVM controller has restarted, machines get the previous authorities.
        phase = msgspec.structs.replace(phase, since=dt.datetime.now(dt.UTC))
        store.set_rotations(msgspec.structs.replace(known, authorities=phase))
    return phase


async def rotate_token_key(
    settings: Settings, report: Report = ignore, *, force: bool = False
) -> Generations:
    """Advance the rotation of the service accounts' key by one phase; the API server restarts.

    Raises:
        HostUnfitError: Not root.
        NoClusterError: There is no cluster in this home.
        RotationError: Tokens of the previous key may still be valid.
        ClusterError: A process did not become ready.
        IdentityError: The keys could not be read or written.
    """
    preflight.check_root()
    plane = lifecycle.running(settings)
    with state.locked(plane.layout.home):
        store = IdentityStore(plane.layout.identities)
        known = store.rotations()
        phase = next_of_token_key(dt.datetime.now(dt.UTC), known.token_key, force=force)
        store.set_rotations(msgspec.structs.replace(known, token_key=phase))
        await plane.start(report)
    return phase


def _wait_for_the_previous(now: dt.datetime, since: dt.datetime, *, force: bool) -> None:
    until = since + LONGEST_SIGNED
    if now < until and not force:
        raise RotationError(
            "what the previous one signed may be valid until"
            f" {until:%Y-%m-%d %H:%M} UTC: continue then, or use --force, which makes it invalid"
        )


async def _machines(plane: ControlPlane) -> list[Machine]:
    async with plane.admin() as client:
        listed = await client.list(MicroVM)
    now = dt.datetime.now(dt.UTC)
    return [Machine(name_of(each), meta(each).creationTimestamp or now) for each in listed.items]
