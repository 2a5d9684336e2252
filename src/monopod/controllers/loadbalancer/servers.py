"""Computes the minimal commands that bring a running worker's targets to the desired ones. Pure.

Commands are those of HAProxy's runtime API (management guide, section 9.3); none of them affects
an open connection.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from monopod.controllers.loadbalancer.model import Balancer, TargetGroup
from monopod.controllers.loadbalancer.render import backends, server, weight

_MAINTENANCE: Final = 0x3F
"""Bits of ``srv_admin_state`` that take a target out of use for any reason."""
_STOPPED: Final = 0
_PASSED: Final = 3
"""``srv_check_result``: the last check succeeded. An unchecked target counts as running."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """The current state of one target in a worker."""

    weight: int
    in_use: bool
    healthy: bool
    passed: bool = False
    """Whether it has been checked and is healthy."""


ServerStates = Mapping[str, Mapping[str, ServerState]]
"""By backend name and target name."""


def read(listing: str) -> ServerStates:
    """Parse the answer to ``show servers state``, whose second line names its columns."""
    found: dict[str, dict[str, ServerState]] = {}
    columns: list[str] = []
    for line in listing.splitlines():
        words = line.split()
        if line.startswith("#"):
            columns = words[1:]
        elif len(words) == len(columns):
            of = dict(zip(columns, words, strict=True))
            found.setdefault(of["be_name"], {})[of["srv_name"]] = ServerState(
                weight=int(of["srv_uweight"]),
                in_use=not int(of["srv_admin_state"]) & _MAINTENANCE,
                healthy=int(of["srv_op_state"]) != _STOPPED,
                passed=int(of["srv_op_state"]) != _STOPPED
                and int(of["srv_check_result"]) >= _PASSED,
            )
    return found


def changes(balancers: Iterable[Balancer], standing: ServerStates) -> list[str]:
    """Return the commands that change the current targets to those of these load balancers."""
    return [
        command
        for balancer in balancers
        for group in balancer.groups
        for backend, checked in backends(balancer, group)
        for command in _changes(group, backend, standing.get(backend, {}), checked=checked)
    ]


def _changes(
    group: TargetGroup, backend: str, there: Mapping[str, ServerState], *, checked: bool
) -> Iterator[str]:
    for target in group.targets:
        name, found = f"{backend}/{target.name}", there.get(target.name)
        if found is None:
            yield f"add server {name} {server(group, target, checked=checked)}"
            if checked:
                yield f"enable health {name}"
            if group.cookie_s:
                # HAProxy generates cookies of runtime targets only by this command for all.
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
        # HAProxy rejects it while there are connections; retried at the next reconcile.
        yield f"del server {backend}/{gone}"
