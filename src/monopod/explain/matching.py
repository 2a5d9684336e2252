"""Which Fargate profiles match a pod, and why each other selector does not."""

from collections.abc import Iterator
from typing import Final

from monopod.api import conditions, keys
from monopod.api.resources import FargateProfile
from monopod.explain.findings import Finding, Section, bad, good, plain
from monopod.explain.snapshot import Snapshot
from monopod.fargate.profiles import Choice, ProfileVerdict, choose_profile, judge_profile
from monopod.kube import meta, name_of

_TITLE: Final = "Profiles"


def natural_choice(snapshot: Snapshot) -> Choice:
    """Return the profile that matches the pod now, ignoring the label that the webhook set."""
    labels = {name: v for name, v in snapshot.labels.items() if name != keys.PROFILE_LABEL}
    return choose_profile(snapshot.profiles, snapshot.namespace, labels, {**snapshot.annotations})


def created_after(snapshot: Snapshot, profile: str) -> bool:
    """Whether a profile is younger than the pod: a pod is matched only at its creation."""
    made = next(
        (meta(p).creationTimestamp for p in snapshot.profiles if name_of(p) == profile), None
    )
    born = meta(snapshot.pod).creationTimestamp
    return made is not None and born is not None and made > born


def section(snapshot: Snapshot) -> Section:
    """Describe each profile's match with the pod, in the order of precedence."""
    if not snapshot.profiles:
        return Section(_TITLE, (bad("there is no FargateProfile in this cluster"),))
    labels = snapshot.labels
    carried = labels.pop(keys.PROFILE_LABEL, None)
    findings: list[Finding] = []
    known = {name_of(each): each for each in snapshot.profiles}
    first = choose_profile(snapshot.profiles, snapshot.namespace, labels, None).profile
    for name, profile in sorted(known.items()):
        verdict = judge_profile(profile, snapshot.namespace, labels)
        findings += _profile(verdict, profile, carried, first)
        if verdict.matched and not snapshot.on_fargate and created_after(snapshot, name):
            findings.append(
                bad("it was created after the pod; a pod is matched once, when it is created", 1)
            )
    if carried is not None and carried not in known:
        findings.append(bad(f"{carried}, which the pod's label names, does not exist"))
    return Section(_TITLE, tuple(findings))


def _profile(
    verdict: ProfileVerdict, profile: FargateProfile, carried: str | None, first: str | None
) -> Iterator[Finding]:
    name = verdict.profile
    if verdict.going:
        yield bad(f"{name} is being deleted and matches no more pods")
    elif not verdict.matched:
        yield bad(f"{name} does not match") if name == carried else plain(f"{name} does not match")
    elif name == carried and carried != first:
        yield good(f"{name} matches, and the pod's label {keys.PROFILE_LABEL} names it")
    elif name == carried:
        yield good(f"{name} matches, and is the alphanumerically first match")
    elif name == first and carried is None:
        yield plain(f"{name} matches, and is the alphanumerically first match")
    elif name == first:
        yield plain(f"{name} matches and would be first, but the pod's label names {carried}")
    else:
        yield plain(f"{name} matches too")
    if verdict.failed:
        yield bad(f"it was not created: {_why_failed(profile)}", 1)
    if not verdict.selectors:
        yield plain("it has no selectors", 1)
    for each in verdict.selectors:
        where = f"selector {each.index + 1} ({_selector(profile, each.index)})"
        if each.matched:
            yield good(f"{where} matches", 1)
        else:
            yield plain(f"{where}: {', '.join(each.mismatches)}", 1)


def _why_failed(profile: FargateProfile) -> str:
    found = profile.status.conditions if profile.status else []
    ready = conditions.find_condition(found, "Ready")
    return ready.message if ready else f"see kubectl describe fargateprofile {name_of(profile)}"


def _selector(profile: FargateProfile, index: int) -> str:
    selector = profile.spec.selectors[index]
    labels = [f"{name}={value}" for name, value in sorted(selector.labels.items())]
    return ", ".join([f"namespace {selector.namespace}", *labels])
