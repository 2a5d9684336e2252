"""Assembles and runs the patch controllers with their informers."""

from collections.abc import Callable
from datetime import UTC, datetime

from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.patch_campaigns import PatchCampaign
from monopod.api.resources import MicroVM, Subnet
from monopod.controllers.patch.campaigns import Campaigns
from monopod.controllers.patch.controller import Informers, PatchController
from monopod.controllers.patch.images import ImageController
from monopod.controllers.patch.notice import Origin
from monopod.controllers.patch.notices import NoticeController
from monopod.controllers.patch.settings import PatchSettings
from monopod.controllers.patch.sink import HttpSink, Sink
from monopod.kube import Client, ElectionConfig, Manager


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def run(
    client: Client,
    origin: Origin,
    settings: PatchSettings,
    *,
    ready: Callable[[], None] = lambda: None,
    election: ElectionConfig | None = None,
    now: Callable[[], datetime] = _utc_now,
    sink: Sink | None = None,
) -> None:
    """Run the patch controllers until cancelled.

    Args:
        client: As ``monopod:patch``.
        origin: The cluster that notices are about.
        settings: Timeouts, and the sink.
        ready: Called once the informers are synced and the first pass is over.
        election: The Lease without which nothing acts. None means no leader election.
        now: Returns the time, with its zone.
        sink: Receives notices; that of the settings unless given.
    """
    manager = Manager(client, election)
    client = manager.client
    views = Informers(
        campaigns=manager.informer(PatchCampaign),
        pods=manager.informer(Pod, fields=f"spec.schedulerName={keys.SCHEDULER_NAME}"),
        machines=manager.informer(MicroVM),
        subnets=manager.informer(Subnet),
    )
    if sink is None and settings.sink_url:
        sink = HttpSink(settings.sink_url, settings.sink_token_file, settings.sink_timeout_s)
    campaigns = Campaigns(client, views.campaigns)
    manager.add(PatchController(client, views, campaigns, settings, now))
    manager.add(NoticeController(campaigns, views.pods, sink, origin, now))
    if settings.on_new_image and settings.image_version:
        version = settings.image_version
        manager.add(ImageController(client, views.campaigns, views.machines, version))
    await manager.run(ready)
