"""Decides an injection's status from what was observed. Pure."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from monopod.api.conditions import new_condition, set_condition
from monopod.api.constants import READY
from monopod.api.metadata import meta
from monopod.api.resources import Condition
from monopod.api.sidecar_injections import AnyInjection, ClusterSidecarInjection
from monopod.controllers.sidecars.carriers import Carrier

COPIED: Final = "ConfigMapsCopied"
"""A condition: whether every namespace that needs them has the copies of the ConfigMaps."""
_INJECTING: Final = "Injecting"
_MOST_GENERATIONS: Final = 16


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an injection does not do all that it should."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The numbers of an injection's pods."""

    pods: int
    outdated: int
    left_out: int
    generations: Sequence[tuple[int, int]]
    """Generation and number of pods, the newest first."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What an injection's status is made from."""

    carriers: Collection[Carrier]
    blocked: Problem | None = None
    """Why new pods do not get the containers."""
    config_maps: Problem | None = None
    """Why not every namespace has the copies; ``copies`` says whether any are requested."""
    copies: bool = False
    namespaces: Sequence[str] = ()
    """Namespaces with copies of ConfigMaps."""


def report_of(injection: AnyInjection, carriers: Collection[Carrier]) -> Report:
    """Count the pods that carry an injection, not those of an earlier one of the same name."""
    since, generation = meta(injection).creationTimestamp, meta(injection).generation or 0
    own = [
        each for each in carriers if since is None or each.created is None or each.created >= since
    ]
    counts = Counter(each.generation for each in own if each.generation is not None)
    generations = sorted(counts.items(), reverse=True)
    return Report(
        pods=sum(counts.values()),
        outdated=sum(count for each, count in generations if each < generation),
        left_out=sum(each.generation is None for each in own),
        generations=generations[:_MOST_GENERATIONS],
    )


def status_of(injection: AnyInjection, observed: Observed, now: datetime) -> dict[str, Any]:
    """Return the status to write, complete for a merge patch."""
    report = report_of(injection, observed.carriers)
    generation = meta(injection).generation
    old = injection.status.conditions if injection.status is not None else []
    conditions = set_condition(old, _at(_ready(observed), generation), now, by_reason=True)
    if observed.copies:
        conditions = set_condition(
            conditions, _at(_copied(observed), generation), now, by_reason=True
        )
    else:
        conditions = [each for each in conditions if each.type != COPIED]
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "pods": report.pods,
        "outdated": report.outdated,
        "leftOut": report.left_out,
        "generations": [
            {"generation": number, "pods": count} for number, count in report.generations
        ],
        "conditions": [msgspec.structs.asdict(each) for each in conditions],
    }
    if isinstance(injection, ClusterSidecarInjection):
        status["configMapNamespaces"] = list(observed.namespaces)
    return status


def _ready(observed: Observed) -> Condition:
    if observed.blocked is not None:
        return new_condition(READY, False, observed.blocked.reason, observed.blocked.message)
    return new_condition(READY, True, _INJECTING, "new pods get the containers")


def _copied(observed: Observed) -> Condition:
    if observed.config_maps is not None:
        return new_condition(
            COPIED, False, observed.config_maps.reason, observed.config_maps.message
        )
    return new_condition(COPIED, True, "Copied", "every namespace with carriers has the copies")


def _at(condition: Condition, generation: int | None) -> Condition:
    return msgspec.structs.replace(condition, observedGeneration=generation)
