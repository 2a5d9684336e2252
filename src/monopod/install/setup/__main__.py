"""``python -m monopod.install.setup``: completes the installation of the cluster that it is in."""

import asyncio
import datetime as dt
from typing import Final

from monopod.install.setup import certificates, subnets
from monopod.install.setup.settings import SetupSettings
from monopod.kube import connect
from monopod.kube.daemon import configure_logging
from monopod.settings import Settings

_NAME: Final = "monopod-setup"


async def _main() -> None:
    settings, own = Settings(), SetupSettings()
    configure_logging(_NAME, settings.log_level)
    async with connect(settings.identities / "setup" / "kubeconfig", _NAME) as client:
        if own.certificates:
            await certificates.ensure(client, dt.datetime.now(dt.UTC))
        await subnets.ensure(client, own.vpc_block)


if __name__ == "__main__":
    asyncio.run(_main())
