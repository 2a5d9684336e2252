"""The least that brings a running worker's targets to what they shall be. Pure.

Commands are those of HAProxy's own command line (management guide, section 9.3); none of them
touches a connection that is open.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from monopod.balancing.model import Balancer, TargetGroup
from monopod.balancing.render import backends, server, weight

_MAINTENANCE: Final = 0x3F
"""Bits of ``srv_admin_state`` by which a target is out of use, for whatever reason."""
_STOPPED: Final = 0
_PASSED: Final = 3
"""``srv_check_result``: the last check was good. One that was never asked counts as running."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One target as a worker has it."""

    weight: int
    in_use: bool
    healthy: bool
    passed: bool = False
    """It has been asked, and is healthy."""


Standings = Mapping[str, Mapping[str, Standing]]
"""By the names of backends and targets."""


def read(listing: str) -> Standings:
    """Read the answer to ``show servers state``, whose second line names its columns."""
    found: dict[str, dict[str, Standing]] = {}
    columns: list[str] = []
    for line in listing.splitlines():
        words = line.split()
        if line.startswith("#"):
            columns = words[1:]
        elif len(words) == len(columns):
            of = dict(zip(columns, words, strict=True))
            found.setdefault(of["be_name"], {})[of["srv_name"]] = Standing(
                weight=int(of["srv_uweight"]),
                in_use=not int(of["srv_admin_state"]) & _MAINTENANCE,
                healthy=int(of["srv_op_state"]) != _STOPPED,
                passed=int(of["srv_op_state"]) != _STOPPED
                and int(of["srv_check_result"]) >= _PASSED,
            )
    return found


def changes(balancers: Iterable[Balancer], standing: Standings) -> list[str]:
    """Return the commands that make what stands what these load balancers have."""
    return [
        command
        for balancer in balancers
        for group in balancer.groups
        for backend, checked in backends(balancer, group)
        for command in _changes(group, backend, standing.get(backend, {}), checked=checked)
    ]


def _changes(
    group: TargetGroup, backend: str, there: Mapping[str, Standing], *, checked: bool
) -> Iterator[str]:
    for target in group.targets:
        name, found = f"{backend}/{target.name}", there.get(target.name)
        if found is None:
            yield f"add server {name} {server(group, target, checked=checked)}"
            if checked:
                yield f"enable health {name}"
            if group.cookie_s:
                # HAProxy makes cookies of targets added at runtime when asked for all of them.
                yield f"enable dynamic-cookie backend {backend}"
            yield f"enable server {name}"
            continue
        if found.weight != weight(target):
            yield f"set server {name} weight {weight(target)}"
        if not found.in_use:
            yield f"set server {name} state ready"
    for gone in sorted(there.keys() - {target.name for target in group.targets}):
        if there[gone].in_use:
            yield f"set server {backend}/{gone} state maint"
        # Refused as long as it has connections; asked again at the next look.
        yield f"del server {backend}/{gone}"
