"""Computes the status of a FargateProfile. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from monopod.api import conditions, keys
from monopod.api.constants import ACTIVE, CREATE_FAILED, DELETE_FAILED, DELETING, READY
from monopod.api.resources import (
    Condition,
    FargateProfile,
    FargateProfileStatus,
    Health,
    HealthIssue,
)
from monopod.fargate.profiles import (
    Fault,
    KnownRoles,
    ProfileContext,
    faults_at_creation,
    role_faults,
    subnet_faults,
    subnets_of_profile,
    with_same_selectors,
)
from monopod.kube import meta, name_of

DUPLICATE: Final = "DuplicateSelectors"
_ROLE_FOUND: Final = "ExecutionRoleFound"


def profile_conditions(
    profile: FargateProfile,
    context: ProfileContext,
    now: datetime,
    undeletable: HealthIssue | None = None,
) -> FargateProfileStatus:
    """Return the status that a profile should have.

    An ACTIVE profile stays ACTIVE when its subnets or role are deleted; its Ready condition then
    reports why its pods cannot start. A CREATE_FAILED one becomes ACTIVE once its faults are gone.

    Args:
        profile: The profile.
        context: The objects and rules that it is checked against.
        now: The current time.
        undeletable: Why its pods cannot be deleted, if they cannot.
    """
    old = profile.status or FargateProfileStatus()
    issues: list[HealthIssue] = []
    if meta(profile).deletionTimestamp is not None:
        word, ready = DELETING, _ready("Deleting", "Its pods are being deleted", holds=False)
        if undeletable is not None:
            word, issues = DELETE_FAILED, [undeletable]
            ready = _ready("PodsNotDeleted", undeletable.message, holds=False)
    else:
        usable = subnets_of_profile(profile, context.subnets, context.vpcs)
        active = old.status == ACTIVE
        faults = (
            (*role_faults(profile, context.roles), *subnet_faults(usable))
            if active
            else faults_at_creation(profile, context)
        )
        if not faults:
            names = ", ".join(map(name_of, usable.usable))
            word, ready = ACTIVE, _ready("SubnetsUsable", f"Pods start in {names}", holds=True)
        else:
            word = ACTIVE if active else CREATE_FAILED
            message = "; ".join(fault.message for fault in faults)
            ready = _ready(faults[0].reason, message, holds=False)
            issues = [_issue(fault) for fault in faults]
    found = old.conditions
    for condition in (ready, _role_found(profile, context.roles)):
        condition.observedGeneration = meta(profile).generation
        found = conditions.set_condition(found, condition, now)
    return FargateProfileStatus(
        status=word,
        health=Health(issues=issues),
        conditions=_with_duplicate(found, profile, context.profiles, word, now),
        observedGeneration=meta(profile).generation,
    )


def _with_duplicate(
    found: list[Condition],
    profile: FargateProfile,
    profiles: Sequence[FargateProfile],
    word: str,
    now: datetime,
) -> list[Condition]:
    """Warn of profiles with the same selectors; AWS accepts them silently (roadmap #1465)."""
    others = [each for each in found if each.type != DUPLICATE]
    names = with_same_selectors(profile, profiles)
    if len(names) == 1 or word in (DELETING, DELETE_FAILED):
        return others
    warning = conditions.new_condition(
        DUPLICATE,
        True,
        "SameSelectors",
        f"Fargate profiles {', '.join(sorted(names))} have the same selectors: pods"
        f" without label {keys.PROFILE_LABEL} start under {names[0]}",
    )
    old = [each for each in found if each.type == DUPLICATE]
    return [*others, *conditions.set_condition(old, warning, now)]


def _issue(fault: Fault) -> HealthIssue:
    return HealthIssue(code=fault.code, message=fault.message, resourceIds=list(fault.resources))


def _role_found(profile: FargateProfile, roles: KnownRoles) -> Condition:
    arn, role = profile.spec.podExecutionRoleArn, roles.of(profile)
    if role is not None:
        message = f"Machines use ExecutionRole {meta(role).name}"
        return conditions.new_condition(_ROLE_FOUND, True, "Found", message)
    effect = "new pods are not scheduled" if roles.required else "machines get no permissions"
    if not arn:
        message = f"spec.podExecutionRoleArn is empty: {effect}"
        return conditions.new_condition(_ROLE_FOUND, False, "NotNamed", message)
    message = f"No ExecutionRole has ARN {arn}: {effect}"
    return conditions.new_condition(_ROLE_FOUND, False, "NotFound", message)


def _ready(reason: str, message: str, *, holds: bool) -> Condition:
    return conditions.new_condition(READY, holds, reason, message)
