"""What the patch controller can do next for a campaign."""

from dataclasses import dataclass
from datetime import datetime

from monopod.api.patch_campaigns import PatchCampaignStatus, PatchEviction, PatchNotice
from monopod.controllers.patch.state import PodView


@dataclass(frozen=True, slots=True)
class Write:
    """Write the campaign's status."""

    status: PatchCampaignStatus


@dataclass(frozen=True, slots=True)
class MarkPods:
    """Set the condition of pods that will be replaced, with an event for each."""

    pods: tuple[PodView, ...]


@dataclass(frozen=True, slots=True)
class MarkFailed:
    """Set the condition of a pod whose eviction failed, with an event."""

    pod: PodView
    notice: PatchNotice


@dataclass(frozen=True, slots=True)
class Evict:
    """Try to evict a pod, and record the outcome."""

    eviction: PatchEviction


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod whose second eviction failed, and record it."""

    eviction: PatchEviction


@dataclass(frozen=True, slots=True)
class DeleteMachine:
    """Delete the MicroVM of a pod that has outlived its grace period."""

    machine: str


@dataclass(frozen=True, slots=True)
class Rehearse:
    """Ask the API server what would happen to pods, and record it."""

    pods: tuple[PodView, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until something changes, or until a time."""

    until: datetime | None = None


Action = Write | MarkPods | MarkFailed | Evict | DeletePod | DeleteMachine | Rehearse | Wait
