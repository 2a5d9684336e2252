"""Merges sidecars into a pod.

An injection goes into a pod with all of its containers or, if the name of one is taken, with none.
The result depends on the pod and on the set of injections, not on their order, and merging again
changes nothing. So a pod that was copied from one with sidecars keeps those.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from monopod.fargate.sidecars.compiled import Sidecars
from monopod.fargate.sidecars.references import Carried
from monopod.fargate.sizing.quantity import QuantityError, parse_milli

_SEPARATOR: Final = ","
_REASONS: Final = "; "


@dataclass(frozen=True, slots=True)
class PodShape:
    """What merging reads of a pod."""

    containers: frozenset[str] = frozenset()
    """Names of its containers and init containers."""
    volumes: frozenset[str] = frozenset()
    """Names of its volumes."""
    carried: str = ""
    """The value of its annotation of what it carries."""
    requests: Mapping[str, Any] | None = None
    limits: Mapping[str, Any] | None = None
    """Pod-level resources; None if it has none."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An injection that a pod does not carry."""

    carried: Carried
    why: str

    def __str__(self) -> str:
        return f"{self.carried}: {self.why}"


@dataclass(frozen=True, slots=True)
class Merge:
    """What is added to a pod."""

    containers: tuple[dict[str, Any], ...] = ()
    """Init containers, to be put before the pod's own."""
    volumes: tuple[dict[str, Any], ...] = ()
    carried: tuple[Carried, ...] = ()
    """All that the pod then carries."""
    left_out: tuple[LeftOut, ...] = ()
    without_credentials: tuple[str, ...] = ()
    """Added containers that get no credentials of the pod's service account."""
    requests: dict[str, str] = field(default_factory=dict[str, str])
    limits: dict[str, str] = field(default_factory=dict[str, str])
    """New values of pod-level resources."""

    @property
    def carried_text(self) -> str:
        """The value of the annotation of what the pod carries."""
        return _SEPARATOR.join(map(str, self.carried))

    @property
    def left_out_text(self) -> str:
        """The value of the annotation of what was left out."""
        return _REASONS.join(map(str, self.left_out))


def merge(pod: PodShape, chosen: Iterable[Sidecars]) -> Merge:
    """Return what a pod gets from the injections that select it."""
    ordered = sorted(chosen, key=lambda each: each.carried.reference)
    # The annotation is the pod's author's to write: it counts only with the containers.
    before = {each.reference: each for each in read_carried(pod.carried)}
    kept = {
        each.carried.reference: each.names for each in ordered if _is_carried(each, before, pod)
    }
    owners = {name: f"of {each}" for each, names in kept.items() for name in names}
    taken = {name: "the pod's own" for name in pod.containers if name not in owners}
    added: list[Sidecars] = []
    carried: list[Carried] = []
    left_out: list[LeftOut] = []
    for each in ordered:
        reference = each.carried.reference
        clash = next((name for name in each.names if name in taken), None) or next(
            (name for name in each.names if name in owners), None
        )
        if reference in kept:
            carried.append(before[reference])
        elif clash is not None:
            why = taken.get(clash) or owners[clash]
            left_out.append(LeftOut(each.carried, f"container {clash} is {why}"))
            continue
        else:
            added.append(each)
            carried.append(each.carried)
        taken |= dict.fromkeys(each.names, f"of {reference}")
    containers = tuple(container for each in added for container in each.containers)
    requests, limits = _grown(pod, containers)
    return Merge(
        containers=containers,
        volumes=_volumes(added, pod.volumes),
        carried=tuple(carried),
        left_out=tuple(left_out),
        without_credentials=tuple(
            name for each in added if not each.credentials for name in each.names
        ),
        requests=requests,
        limits=limits,
    )


def read_carried(annotation: str) -> list[Carried]:
    """Return what an annotation says that its pod carries."""
    found = (Carried.parse(each) for each in annotation.split(_SEPARATOR))
    return [each for each in found if each is not None]


def read_left_out(annotation: str) -> list[LeftOut]:
    """Return what an annotation says that its pod does not carry."""
    found: list[LeftOut] = []
    for each in annotation.split(_REASONS):
        name, _, why = each.partition(": ")
        carried = Carried.parse(name)
        if carried is not None:
            found.append(LeftOut(carried, why))
    return found


def _is_carried(sidecars: Sidecars, before: Mapping[Any, Carried], pod: PodShape) -> bool:
    return sidecars.carried.reference in before and pod.containers.issuperset(sidecars.names)


def _volumes(added: Sequence[Sidecars], present: frozenset[str]) -> tuple[dict[str, Any], ...]:
    volumes = {each["name"]: each for sidecars in added for each in sidecars.volumes}
    return tuple(each for name, each in volumes.items() if name not in present)


def _grown(
    pod: PodShape, containers: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the pod-level resources with those of more containers.

    The API server refuses a pod whose containers request more than the pod as a whole.
    """
    requests, limits = pod.requests or {}, pod.limits or {}
    grown: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for new, old in zip(grown, (requests, limits), strict=True):
        for name, amount in old.items():
            try:
                more = sum(_wanted(each, name, old is limits) for each in containers)
                total = parse_milli(str(amount)) + more
            except QuantityError:
                continue
            if more:
                new[name] = str(total // 1000) if total % 1000 == 0 else f"{total}m"
    return grown


def _wanted(container: Mapping[str, Any], name: str, of_limits: bool) -> int:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    limit = limits.get(name)
    request = requests.get(name, limit)
    amounts = [each for each in ((request, limit) if of_limits else (request,)) if each is not None]
    return max((parse_milli(str(each)) for each in amounts), default=0)
