"""Selects the Fargate profile that a pod starts under. Pure."""

from collections.abc import Sequence

from lightkube.resources.core_v1 import Pod

from monopod.api import constants
from monopod.api.conditions import find_condition
from monopod.api.resources import FargateProfile
from monopod.controllers.scheduler import reasons
from monopod.controllers.scheduler.actions import UnschedulableError
from monopod.fargate.profiles import choose_profile, matching_labels
from monopod.kube import meta, name_of, namespace_of


def select_profile(pod: Pod, profiles: Sequence[FargateProfile]) -> FargateProfile:
    """Return the profile of a pod.

    Raises:
        UnschedulableError: No profile matches, or the one that does is CREATE_FAILED: on AWS no pod
            starts under a profile before it is ACTIVE.
    """
    metadata = meta(pod)
    labels = matching_labels(metadata.labels, pod.spec.runtimeClassName if pod.spec else None)
    choice = choose_profile(profiles, namespace_of(pod), labels, metadata.annotations)
    profile = next((each for each in profiles if name_of(each) == choice.profile), None)
    if profile is None:
        raise UnschedulableError(choice.outcome.value, choice.message)
    status = profile.status
    if status is not None and status.status == constants.CREATE_FAILED:
        ready = find_condition(status.conditions, constants.READY)
        raise misconfigured(profile, ready.message if ready else constants.CREATE_FAILED)
    return profile


def misconfigured(profile: FargateProfile, *why: str) -> UnschedulableError:
    """Return the exception for a profile under which no pod can start; the message is AWS's."""
    return UnschedulableError(
        reasons.MISCONFIGURED,
        f"Misconfigured Fargate Profile: fargate profile {name_of(profile)} blocked for new"
        f" launches due to: {'; '.join(why)}",
    )
