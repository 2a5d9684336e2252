"""Metrics of the patch controller."""

from typing import Final

from prometheus_client import Counter, Gauge

from monopod.api.patch_campaigns import PatchCampaignStatus

EVICTIONS: Final = Counter(
    "monopod_patch_evictions_total",
    "Attempts of patch campaigns to evict a pod, and deletions, by outcome.",
    ["outcome"],
)
NOTICES: Final = Counter(
    "monopod_patch_notices_total", "Deliveries of notices to the sink, by outcome.", ["outcome"]
)
_PODS: Final = Gauge(
    "monopod_patch_pods", "Pods of patch campaigns, by state.", ["campaign", "state"]
)
_UNDELIVERED: Final = Gauge(
    "monopod_patch_undelivered_notices", "Notices that the sink has not received.", ["campaign"]
)
_DEADLINE: Final = Gauge(
    "monopod_patch_deadline_timestamp_seconds",
    "Scheduled termination time of campaigns that are not completed.",
    ["campaign"],
)
_STATES: Final = ("waiting", "evicted", "replaced", "blocked", "terminated", "left")


def show(campaign: str, status: PatchCampaignStatus, deadline_s: float) -> None:
    """Show a campaign's progress.

    Args:
        campaign: Its name.
        status: Its status.
        deadline_s: Its scheduled termination time in seconds since 1970.
    """
    if status.counts is not None:
        for state in _STATES:
            _PODS.labels(campaign, state).set(getattr(status.counts, state))
    _UNDELIVERED.labels(campaign).set(len(status.notices))
    if status.completionTime:
        _DEADLINE.remove_by_labels({"campaign": campaign})
    else:
        _DEADLINE.labels(campaign).set(deadline_s)


def forget(campaign: str) -> None:
    """Remove a deleted campaign."""
    for gauge in (_PODS, _UNDELIVERED, _DEADLINE):
        gauge.remove_by_labels({"campaign": campaign})
