"""``python -m monopod.controlplane.certificates``: the process that renews certificates.

It speaks to no server, so that it also works when every certificate has expired.
"""

import asyncio
import sys

from monopod.controlplane.certificates.renewer import Renewer
from monopod.controlplane.certificates.settings import CertificateSettings
from monopod.controlplane.identities import identities
from monopod.controlplane.layout import Layout
from monopod.identity.store import IdentityStore
from monopod.kube import Daemon, serve
from monopod.settings import Settings


async def _main(service: Daemon) -> None:
    own = CertificateSettings()
    layout = Layout.of(Settings(), own.transit)
    renewer = Renewer(
        IdentityStore(layout.identities, own.lifetime),
        identities(layout),
        check_every_s=own.check_every_s,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(renewer.run())
        await renewer.first_pass.wait()
        service.ready()


if __name__ == "__main__":
    sys.exit(serve("certificates", _main, metrics_port=CertificateSettings().metrics_port))
