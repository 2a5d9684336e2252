"""The campaigns as the API server has them, overlaid with what this process wrote last."""

import math
from datetime import UTC, datetime
from typing import Any

import msgspec

from monopod.api.patch_campaigns import PatchCampaign, PatchCampaignStatus
from monopod.kube import Client, Informer, Key, MutationCache, meta, name_of


class Campaigns:
    """Reads campaigns and writes their status."""

    def __init__(self, client: Client, informer: Informer[PatchCampaign]) -> None:
        """Overlay an informer.

        Args:
            client: Writes the status.
            informer: The campaigns.
        """
        self._client = client
        self.informer = informer
        # A decision from an older status could evict a second pod at the same time.
        self._newest = MutationCache(informer, trusted_s=math.inf)

    def get(self, name: Key) -> PatchCampaign | None:
        """Return a campaign; None if it does not exist."""
        return self._newest.get(name)

    async def write(self, campaign: PatchCampaign, status: PatchCampaignStatus) -> None:
        """Write the status of a campaign.

        Raises:
            ConflictError: The campaign has changed since it was read.
            NotFoundError: It does not exist any more.
        """
        metadata = meta(campaign)
        guard = {"uid": metadata.uid, "resourceVersion": metadata.resourceVersion}
        patch = {"metadata": guard, "status": complete(status)}
        written = await self._client.patch(
            PatchCampaign, name_of(campaign), patch, subresource="status"
        )
        if self.informer.get(name_of(campaign)) is not None:
            self._newest.note(written)


def created(campaign: PatchCampaign) -> datetime:
    """Return when a campaign was created."""
    at = meta(campaign).creationTimestamp
    return at if at is not None else datetime.now(UTC)


def complete(value: Any) -> Any:  # noqa: ANN401 - any part of a status
    """Return a status with its empty fields, which a merge patch would leave as they were."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.asdict(value).items()
        return {name: complete(each) for name, each in fields if each is not None}
    if isinstance(value, list):
        return [complete(each) for each in value]
    return value
