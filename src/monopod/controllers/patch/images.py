"""Starts a campaign for a new guest image."""

from typing import Final

import structlog
from lightkube.models.meta_v1 import ObjectMeta

from monopod.api.patch_campaigns import PatchCampaign, PatchCampaignSpec
from monopod.api.resources import MicroVM
from monopod.kube import AlreadyExistsError, Change, Client, Controller, Informer, Key

_KEY: Final = "image"
_log: Final = structlog.get_logger("patch")


class ImageController(Controller):
    """Creates the campaign ``image-VERSION`` once machines of pods run another version."""

    def __init__(
        self,
        client: Client,
        campaigns: Informer[PatchCampaign],
        machines: Informer[MicroVM],
        version: str,
    ) -> None:
        """Subscribe to the informers.

        Args:
            client: Creates the campaign.
            campaigns: All campaigns.
            machines: All machines.
            version: The guest image of new machines.
        """
        super().__init__("patch-images", self.reconcile, workers=1, initial=(_KEY,))
        self._client = client
        self._campaigns = campaigns
        self._machines = machines
        self._version = version
        machines.subscribe(self._changed)

    async def reconcile(self, key: Key) -> float | None:
        """Create the campaign if it is needed and does not exist."""
        del key
        name = campaign_name(self._version)
        if self._campaigns.get(name) is not None or not self._outdated():
            return None
        campaign = PatchCampaign(
            metadata=ObjectMeta(name=name), spec=PatchCampaignSpec(imageVersion=self._version)
        )
        try:
            await self._client.create(campaign)
        except AlreadyExistsError:
            return None
        _log.info("campaign_started", campaign=name)
        return None

    def _outdated(self) -> bool:
        return any(
            not machine.is_worker_node
            and machine.status_or_empty.attempts > 0
            and machine.status_or_empty.imageVersion != self._version
            for machine in self._machines.items()
        )

    def _changed(self, change: Change[MicroVM]) -> None:
        del change
        self.enqueue(_KEY)


def campaign_name(version: str) -> str:
    """Return the name of the campaign for a guest image: it is started once."""
    return f"image-{version}"
