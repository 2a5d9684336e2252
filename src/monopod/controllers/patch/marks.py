"""The condition of pods that a campaign will replace: what its text is, and how it is read back.

It survives in the pod, so the campaign object need not name all of its pods.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.conditions import TRUE, find_condition
from monopod.controllers.patch.times import aws_time

SCHEDULED: Final = "Scheduled"
EVICTION_FAILED: Final = "EvictionFailed"
NOT_SCHEDULED: Final = "NotScheduled"
"""Reasons of the condition; with the last one its status is False."""
_MESSAGE: Final = re.compile(r"PatchCampaign (\S+) \((\S{1,8})\): ")
_UID_CHARS: Final = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """A campaign's mark on a pod."""

    campaign: str
    uid: str
    """The first characters of the campaign's uid."""
    reason: str


def mark_of(pod: Pod) -> Mark | None:
    """Return a pod's mark; None if it has none."""
    found = find_condition(
        pod.status.conditions if pod.status else None, keys.SCHEDULED_TERMINATION
    )
    if found is None or found.status != TRUE:
        return None
    match = _MESSAGE.match(found.message or "")
    return None if match is None else Mark(match[1], match[2], found.reason or "")


def key_of(campaign: str, uid: str) -> tuple[str, str]:
    """Return a campaign as its marks name it."""
    return campaign, uid[:_UID_CHARS]


def is_by(mark: Mark | None, campaign: str, uid: str) -> bool:
    """Return whether a mark is a campaign's, and not an earlier one's of the same name."""
    return mark is not None and (mark.campaign, mark.uid) == key_of(campaign, uid)


def scheduled_message(campaign: str, uid: str, before: datetime, deadline: datetime) -> str:
    """Return the text for a pod that will be replaced."""
    return (
        f"PatchCampaign {campaign} ({uid[:_UID_CHARS]}): pods launched before"
        f" {before:%Y-%m-%d %H:%M:%S} UTC are evicted, and deleted at {aws_time(deadline)} if that"
        " fails; replace the pod earlier to choose the time, as by kubectl rollout restart"
    )


def failed_message(campaign: str, uid: str, why: str, deadline: datetime) -> str:
    """Return the text for a pod whose eviction failed."""
    return (
        f"PatchCampaign {campaign} ({uid[:_UID_CHARS]}): {why}; the pod is deleted at"
        f" {aws_time(deadline)} if its eviction fails again"
    )
