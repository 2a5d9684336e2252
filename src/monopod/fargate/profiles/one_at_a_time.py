"""Relations between profiles: AWS's one-at-a-time rule, and identical selectors."""

from collections.abc import Collection, Iterable

from monopod.api.constants import CREATE_FAILED, CREATING, DELETING
from monopod.api.metadata import meta, name_of
from monopod.api.resources import FargateProfile


def blocked_by_other_profile(
    name: str,
    profiles: Iterable[FargateProfile],
    *,
    cluster: str,
    deleting: bool,
    announced: Collection[str] = (),
) -> str | None:
    """Return why a profile may not be created or deleted now; None if it may.

    On AWS one profile may be CREATING or DELETING at a time (source of the text:
    terraform-aws-eks#866).

    Args:
        name: The profile to create or delete.
        profiles: All profiles.
        cluster: The cluster's name.
        deleting: Whether it is to be deleted, not created.
        announced: Names of profiles that are about to be stored.
    """
    verb = "delete" if deleting else "create"
    moving = {other: CREATING for other in announced}
    for profile in profiles:
        moving.pop(name_of(profile), None)
        status = _status(profile)
        if status in (CREATING, DELETING):
            moving[name_of(profile)] = status
    for other, status in sorted(moving.items()):
        # Profiles are deleted one at a time, and none is created meanwhile; but a profile that
        # is being created does not block a deletion.
        if other != name and not (deleting and status == CREATING):
            return (
                f"Cannot {verb} Fargate Profile {name} because cluster {cluster} currently has"
                f" Fargate profile {other} in status {status}"
            )
    return None


def with_same_selectors(
    profile: FargateProfile, profiles: Iterable[FargateProfile]
) -> tuple[str, ...]:
    """Return the names of all profiles with the same selectors, the winner's first.

    Includes its own name, which is the only one if its selectors are unique.
    """
    own = _selectors(profile)
    same = [
        each
        for each in profiles
        if name_of(each) != name_of(profile)
        and _status(each) != DELETING
        and _selectors(each) == own
    ]
    ordered = sorted(
        (profile, *same), key=lambda each: (_status(each) == CREATE_FAILED, name_of(each))
    )
    return tuple(name_of(each) for each in ordered)


def _selectors(profile: FargateProfile) -> frozenset[tuple[str, frozenset[tuple[str, str]]]]:
    return frozenset(
        (each.namespace, frozenset(each.labels.items())) for each in profile.spec.selectors
    )


def _status(profile: FargateProfile) -> str:
    if meta(profile).deletionTimestamp is not None:
        return DELETING
    return (profile.status.status if profile.status else "") or CREATING
