"""PatchCampaigns as typed objects: the replacement of pods whose machines are older than a date."""

from typing import ClassVar, Final

from lightkube.core import resource as res
from lightkube.core.dictmixin import DictMixin

from monopod.api.resource_info import CustomObject, resource_info, status_info
from monopod.api.resources import Condition

MOST_EVICTIONS: Final = 100
"""Maximum of ``maxUnavailable``."""


class PatchSelector(DictMixin):
    """Selects pods; an empty list selects by nothing."""

    namespaces: list[str] = []
    profiles: list[str] = []


class PatchWindow(DictMixin):
    """Weekly times in which pods are evicted."""

    days: list[str]
    start: str
    """Local time, ``HH:MM``."""
    duration: str
    timeZone: str = "UTC"


class PatchCampaignSpec(DictMixin):
    """Which pods are replaced, until when, and how fast. All durations are like ``1h30m``."""

    before: str = ""
    """Pods launched before this time are subject; empty means the campaign's creation."""
    imageVersion: str = ""
    """Pods whose machine runs this guest image are not subject."""
    selector: PatchSelector | None = None
    scheduledTerminationTime: str = ""
    deadlineAfter: str = ""
    maxUnavailable: int = 1
    interval: str = "0s"
    window: PatchWindow | None = None
    paused: bool = False
    dryRun: bool = False


class PatchEviction(DictMixin):
    """A pod that is being evicted, recorded before the first attempt."""

    namespace: str
    name: str
    uid: str
    zone: str = ""
    ownerKind: str = ""
    ownerName: str = ""
    ownerUID: str = ""
    startTime: str = ""
    """When it began; from the acceptance on, when it was accepted."""
    accepted: bool = False
    """Whether the pod terminates."""
    terminated: bool = False
    """Whether it was deleted, against its disruption budget."""
    refusedSince: str = ""
    refusedAt: str = ""
    refusal: str = ""
    """The text of the notice: why the last attempt was refused."""
    needed: int = 0
    """How many newer Ready pods its owner has when it is replaced."""


class PatchNotice(DictMixin):
    """A notice that the sink has not received yet."""

    id: str
    podNamespace: str
    podName: str
    podUID: str
    owner: str
    evictErrorMessage: str
    time: str
    profile: str = ""


class PatchedPod(DictMixin):
    """One pod in the report."""

    namespace: str
    name: str
    state: str
    zone: str = ""
    message: str = ""


class PatchCounts(DictMixin):
    """Numbers of pods."""

    subject: int = 0
    waiting: int = 0
    evicted: int = 0
    replaced: int = 0
    blocked: int = 0
    terminated: int = 0
    left: int = 0


class PatchCampaignStatus(DictMixin):
    """A campaign's progress. Only the patch controller writes it."""

    phase: str = ""
    before: str = ""
    scheduledTerminationTime: str = ""
    startTime: str = ""
    completionTime: str = ""
    lastEvictionTime: str = ""
    counts: PatchCounts | None = None
    evictions: list[PatchEviction] = []
    notices: list[PatchNotice] = []
    pods: list[PatchedPod] = []
    conditions: list[Condition] = []


class _PatchCampaign(CustomObject, kw_only=True):
    spec: PatchCampaignSpec
    status: PatchCampaignStatus | None = None

    @property
    def status_or_empty(self) -> PatchCampaignStatus:
        """Its status; an empty one before the controller has written any."""
        return self.status or PatchCampaignStatus()


class PatchCampaignWithStatus(res.GlobalSubResource, _PatchCampaign):
    """The status subresource of a PatchCampaign."""

    _api_info = status_info("PatchCampaign", "patchcampaigns")


class PatchCampaign(res.GlobalResource, _PatchCampaign):
    """A campaign: pods whose machines are older than a date are evicted, to have patched ones."""

    _api_info = resource_info("PatchCampaign", "patchcampaigns")
    Status: ClassVar = PatchCampaignWithStatus
