"""Which profile a pod starts under (source: EKS user guide, "Define which Pods use Fargate").

A selector matches when the namespace does and each of its labels is on the pod; a profile, when
any of its selectors does; of several profiles, the alphanumerically first name wins, unless the
pod's own label names one, which must still match. Every answer keeps its reasons.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from monopod.api import keys
from monopod.api.resources import FargateProfile, Selector
from monopod.profiles.wildcards import matches

_GOING: Final = frozenset({"DELETING", "DELETE_FAILED"})
_CREATE_FAILED: Final = "CREATE_FAILED"
_TOLD: Final = 3
"""Profiles that a message speaks about: it is written on every pod that matches none."""


class Outcome(enum.Enum):
    """How the question was decided; the values are CamelCase reasons for conditions and events."""

    CHOSEN = "ProfileChosen"
    OPTED_OUT = "OptedOut"
    """The pod's annotation says ``ec2``."""
    NO_MATCH = "NoProfileMatches"
    NAMED_UNKNOWN = "NamedProfileNotFound"
    NAMED_MISMATCH = "NamedProfileDoesNotMatch"


@dataclass(frozen=True, slots=True)
class SelectorVerdict:
    """One selector against one pod."""

    index: int
    """Its place in the profile, from 0."""
    mismatches: tuple[str, ...]
    """Why it does not match, a phrase for each thing; empty if it matches."""

    @property
    def matched(self) -> bool:
        """Whether it matches."""
        return not self.mismatches


@dataclass(frozen=True, slots=True)
class ProfileVerdict:
    """One profile against one pod."""

    profile: str
    selectors: tuple[SelectorVerdict, ...]
    going: bool = False
    """It is being deleted and takes no pods any more."""
    failed: bool = False
    """It lacks something. Ours: it is passed over for a sound one, but where there is none, its
    pods wait with the reason, and start when what it lacks is there."""

    @property
    def matched(self) -> bool:
        """Whether a pod may start under it."""
        return not self.going and any(each.matched for each in self.selectors)


@dataclass(frozen=True, slots=True)
class Choice:
    """The profile of a pod, or why it has none."""

    outcome: Outcome
    profile: str | None
    named: str | None
    """The profile that the pod's own label asks for."""
    verdicts: tuple[ProfileVerdict, ...]
    """Every profile looked at, in the order of precedence."""

    @property
    def message(self) -> str:
        """One sentence for people."""
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
                    f" which does not match the pod: {_why_not(self.verdicts)}."
                )
            case Outcome.NO_MATCH if not self.verdicts:
                return "There is no Fargate profile in this cluster."
            case Outcome.NO_MATCH:
                return f"No Fargate profile matches the pod: {_why_not(self.verdicts)}."


def choose_profile(
    profiles: Iterable[FargateProfile],
    namespace: str,
    labels: Mapping[str, str] | None,
    annotations: Mapping[str, str] | None,
) -> Choice:
    """Decide which profile a pod starts under.

    Args:
        profiles: All profiles of the cluster, in any order.
        namespace: The pod's.
        labels: The pod's.
        annotations: The pod's.
    """
    labels = labels or {}
    ordered = sorted(profiles, key=_name)
    named = labels.get(keys.PROFILE_LABEL)
    if (annotations or {}).get(keys.COMPUTE_TYPE_KEY) == keys.COMPUTE_TYPE_EC2:
        return Choice(Outcome.OPTED_OUT, None, named, ())
    if named is not None:
        ordered = [profile for profile in ordered if _name(profile) == named]
        if not ordered:
            return Choice(Outcome.NAMED_UNKNOWN, None, named, ())
    verdicts = tuple(judge_profile(profile, namespace, labels) for profile in ordered)
    matching = [verdict for verdict in verdicts if verdict.matched]
    # Of equals, min takes the first: the first sound one by name, or else the first.
    winner = min(matching, key=lambda verdict: verdict.failed).profile if matching else None
    if winner is not None:
        outcome = Outcome.CHOSEN
    else:
        outcome = Outcome.NO_MATCH if named is None else Outcome.NAMED_MISMATCH
    return Choice(outcome, winner, named, verdicts)


def judge_profile(
    profile: FargateProfile, namespace: str, labels: Mapping[str, str]
) -> ProfileVerdict:
    """Hold one profile against a pod's namespace and labels."""
    return ProfileVerdict(
        profile=_name(profile),
        selectors=tuple(
            SelectorVerdict(index, _mismatches(selector, namespace, labels))
            for index, selector in enumerate(profile.spec.selectors)
        ),
        going=_going(profile),
        failed=profile.status is not None and profile.status.status == _CREATE_FAILED,
    )


def _going(profile: FargateProfile) -> bool:
    if profile.metadata is not None and profile.metadata.deletionTimestamp is not None:
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


def _why_not(verdicts: Sequence[ProfileVerdict]) -> str:
    said = [f"{each.profile} {_why_not_one(each)}" for each in verdicts[:_TOLD]]
    more = len(verdicts) - _TOLD
    return "; ".join([*said, f"nor do {more} more"] if more > 0 else said)


def _why_not_one(verdict: ProfileVerdict) -> str:
    if verdict.going:
        return "is being deleted"
    reasons = " or ".join(", ".join(each.mismatches) for each in verdict.selectors)
    return f"does not ({reasons})" if reasons else "has no selectors"


def _name(profile: FargateProfile) -> str:
    return (profile.metadata.name if profile.metadata else None) or ""
