"""Matches pods to profiles (source: EKS user guide, "Define which Pods use Fargate").

A selector matches when the namespace does and each of its labels is on the pod; a profile, when
any of its selectors does; of several profiles, the alphanumerically first name wins, unless the
pod's own label names one, which must still match. Every result carries its reasons.

Ours: a pod's RuntimeClass counts as one more label, so profiles can select pods by it. Why it is
so: docs/decisions/0016-runtime-class.md.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from monopod.api import constants, keys
from monopod.api.metadata import meta, name_of
from monopod.api.resources import FargateProfile, Selector
from monopod.fargate.profiles.wildcards import matches

_GOING: Final = frozenset({constants.DELETING, constants.DELETE_FAILED})
_NAMED: Final = 3
"""Profiles that a message names; it is written to every pod that matches none."""


class Outcome(enum.Enum):
    """The result of matching; the values are CamelCase reasons for conditions and events."""

    CHOSEN = "ProfileChosen"
    OPTED_OUT = "OptedOut"
    """The pod's annotation is ``ec2``."""
    NO_MATCH = "NoProfileMatches"
    NAMED_UNKNOWN = "NamedProfileNotFound"
    NAMED_MISMATCH = "NamedProfileDoesNotMatch"


@dataclass(frozen=True, slots=True)
class SelectorVerdict:
    """Whether one selector matches one pod, and why not."""

    index: int
    """Its index in the profile, from 0."""
    mismatches: tuple[str, ...]
    """Why it does not match, a phrase for each reason; empty if it matches."""

    @property
    def matched(self) -> bool:
        """Whether it matches."""
        return not self.mismatches


@dataclass(frozen=True, slots=True)
class ProfileVerdict:
    """Whether one profile matches one pod, and why not."""

    profile: str
    selectors: tuple[SelectorVerdict, ...]
    going: bool = False
    """It is being deleted and accepts no more pods."""
    failed: bool = False
    """It is CREATE_FAILED. Ours: another matching profile takes precedence; without one, its pods
    wait with the reason, and start once the fault is resolved."""

    @property
    def matched(self) -> bool:
        """Whether a pod may start under it."""
        return not self.going and any(each.matched for each in self.selectors)


@dataclass(frozen=True, slots=True)
class Asked:
    """The input of a choice."""

    profiles: tuple[FargateProfile, ...]
    """The candidates, in order of precedence."""
    namespace: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Choice:
    """The profile of a pod, or why it has none."""

    outcome: Outcome
    profile: str | None
    named: str | None
    """The profile that the pod's own label asks for."""
    asked: Asked
    """The input; reasons are computed lazily, since most are never read."""

    @property
    def verdicts(self) -> tuple[ProfileVerdict, ...]:
        """The verdict on every candidate, in order of precedence."""
        asked = self.asked
        return tuple(judge_profile(each, asked.namespace, asked.labels) for each in asked.profiles)

    @property
    def message(self) -> str:
        """The result as one sentence."""
        match self.outcome:
            case Outcome.CHOSEN:
                return f"Fargate profile {self.profile} matches the pod."
            case Outcome.OPTED_OUT:
                return (
                    f"The pod's annotation {keys.COMPUTE_TYPE_KEY}: {keys.COMPUTE_TYPE_EC2}"
                    " keeps it off Fargate."
                )
            case Outcome.NAMED_UNKNOWN:
                return (
                    f"The pod's label {keys.PROFILE_LABEL} names Fargate profile {self.named},"
                    " which does not exist."
                )
            case Outcome.NAMED_MISMATCH:
                return (
                    f"The pod's label {keys.PROFILE_LABEL} names Fargate profile {self.named},"
                    f" which does not match the pod: {_why_not(self.asked)}."
                )
            case Outcome.NO_MATCH if not self.asked.profiles:
                return "There is no Fargate profile in this cluster."
            case Outcome.NO_MATCH:
                return f"No Fargate profile matches the pod: {_why_not(self.asked)}."


def matching_labels(
    labels: Mapping[str, str] | None, runtime_class: str | None
) -> Mapping[str, str]:
    """Return what a pod has for selectors: its labels, and its RuntimeClass as one of them."""
    named = {keys.RUNTIME_CLASS_LABEL: runtime_class} if runtime_class else {}
    return {**(labels or {}), **named}


def choose_profile(
    profiles: Iterable[FargateProfile],
    namespace: str,
    labels: Mapping[str, str] | None,
    annotations: Mapping[str, str] | None,
) -> Choice:
    """Return the profile that a pod starts under.

    Args:
        profiles: All profiles of the cluster, in any order.
        namespace: The pod's namespace.
        labels: The pod's, as ``matching_labels`` returns them.
        annotations: The pod's annotations.
    """
    labels = labels or {}
    ordered = sorted(profiles, key=name_of)
    named = labels.get(keys.PROFILE_LABEL)
    nothing = Asked((), namespace, labels)
    if (annotations or {}).get(keys.COMPUTE_TYPE_KEY) == keys.COMPUTE_TYPE_EC2:
        return Choice(Outcome.OPTED_OUT, None, named, nothing)
    if named is not None:
        ordered = [profile for profile in ordered if name_of(profile) == named]
        if not ordered:
            return Choice(Outcome.NAMED_UNKNOWN, None, named, nothing)
    asked = Asked(tuple(ordered), namespace, labels)
    winner = _first(each for each in ordered if _takes(each, namespace, labels))
    if winner is not None:
        return Choice(Outcome.CHOSEN, name_of(winner), named, asked)
    outcome = Outcome.NO_MATCH if named is None else Outcome.NAMED_MISMATCH
    return Choice(outcome, None, named, asked)


def judge_profile(
    profile: FargateProfile, namespace: str, labels: Mapping[str, str]
) -> ProfileVerdict:
    """Match one profile against a pod's namespace and labels."""
    return ProfileVerdict(
        profile=name_of(profile),
        selectors=tuple(
            SelectorVerdict(index, _mismatches(selector, namespace, labels))
            for index, selector in enumerate(profile.spec.selectors)
        ),
        going=_going(profile),
        failed=_failed(profile),
    )


def _first(matching: Iterable[FargateProfile]) -> FargateProfile | None:
    """Return the first that has not failed, or else the first."""
    first = None
    for each in matching:
        if not _failed(each):
            return each
        first = first or each
    return first


def _failed(profile: FargateProfile) -> bool:
    return profile.status is not None and profile.status.status == constants.CREATE_FAILED


def _takes(profile: FargateProfile, namespace: str, labels: Mapping[str, str]) -> bool:
    """Return ``ProfileVerdict.matched`` without computing reasons."""
    return not _going(profile) and any(
        matches(selector.namespace, namespace)
        and all(
            any(matches(key, name) and matches(value, own) for name, own in labels.items())
            for key, value in selector.labels.items()
        )
        for selector in profile.spec.selectors
    )


def _going(profile: FargateProfile) -> bool:
    if meta(profile).deletionTimestamp is not None:
        return True
    return profile.status is not None and profile.status.status in _GOING


def _mismatches(selector: Selector, namespace: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    found: list[str] = []
    if not matches(selector.namespace, namespace):
        found.append(f"namespace {namespace} is not {selector.namespace}")
    for key, value in sorted(selector.labels.items()):
        values = [own for name, own in labels.items() if matches(key, name)]
        if not values:
            found.append(f"the pod has no label {key}")
        elif not any(matches(value, own) for own in values):
            found.append(f"label {key} is {' and '.join(sorted(values))}, not {value}")
    return tuple(found)


def _why_not(asked: Asked) -> str:
    judged = [
        judge_profile(each, asked.namespace, asked.labels) for each in asked.profiles[:_NAMED]
    ]
    said = [f"{each.profile} {_why_not_one(each)}" for each in judged]
    # Without a count: each new profile would change the condition of every waiting pod.
    rest = ["nor does any other"] if len(asked.profiles) > _NAMED else []
    return "; ".join([*said, *rest])


def _why_not_one(verdict: ProfileVerdict) -> str:
    if verdict.going:
        return "is being deleted"
    reasons = " or ".join(", ".join(each.mismatches) for each in verdict.selectors)
    return f"does not ({reasons})" if reasons else "has no selectors"
