"""What of the control plane expires when, as ``monopod status`` shows it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monopod.controlplane.control_plane import ComponentStatus
from monopod.controlplane.identities import identities
from monopod.controlplane.layout import Layout
from monopod.controlplane.upstream_services import API_SERVER
from monopod.identity.rotation import Phase, Rotations
from monopod.identity.store import AUTHORITY_DIRECTORY, Dated, IdentityStore

IN_MEMORY_LIFETIME: Final = dt.timedelta(days=3 * 365 + 1)
"""Of the certificate that kube-apiserver makes for itself at its start, and holds in memory
(apiserver's serving_with_loopback.go, v1.37)."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """One line of the status."""

    what: str
    expires: dt.datetime
    replaced_by: str


def of(layout: Layout, components: Sequence[ComponentStatus]) -> list[Expiry]:
    """Return what expires when, the processes' certificates in one line.

    Raises:
        IdentityError: A certificate cannot be read.
    """
    store = IdentityStore(layout.identities)
    now = dt.datetime.now(dt.UTC)
    uptimes = [each.state.since_s for each in components if each.name == API_SERVER and each.state]
    started = now - dt.timedelta(seconds=max(uptimes, default=0))
    return summary(store.certificates(identities(layout)), store.rotations(), started)


def summary(
    certificates: Sequence[Dated], rotations: Rotations, api_server_started: dt.datetime
) -> list[Expiry]:
    """Return the lines for these certificates.

    Args:
        certificates: All certificates of the store.
        rotations: The generations in force.
        api_server_started: When kube-apiserver was started.
    """
    leaves = [each for each in certificates if each.identity != AUTHORITY_DIRECTORY]
    first = min(leaves, key=lambda each: each.validity.expires)
    lines = [
        Expiry(
            f"{len(leaves)} of processes, {first.identity}/{first.file} first",
            first.validity.expires,
            f"itself, from {first.validity.due:%Y-%m-%d}",
        ),
        Expiry(
            f"{API_SERVER}'s, in memory",
            api_server_started + IN_MEMORY_LIFETIME,
            f"a restart of {API_SERVER}",
        ),
    ]
    phase = rotations.authorities.phase
    hint = "" if phase is Phase.SETTLED else f" ({phase.value})"
    return lines + [
        Expiry(
            f"authority {each.file.removesuffix('.crt')}",
            each.validity.expires,
            f"monopod rotate authorities{hint}",
        )
        for each in certificates
        if each.identity == AUTHORITY_DIRECTORY
    ]
