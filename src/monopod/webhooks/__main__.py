"""``python -m monopod.webhooks``: the webhooks' process."""

import sys

from monopod.identity.serving import ServingCertificate
from monopod.kube import Daemon, connect, serve
from monopod.settings import Settings
from monopod.webhooks.manager import COMPONENT, keep
from monopod.webhooks.settings import WebhookSettings


async def _main(service: Daemon) -> None:
    settings, own = Settings(), WebhookSettings()
    identity = own.identity or settings.identities / "webhooks"
    certificate = ServingCertificate(identity / "serving.crt", identity / "serving.key")
    async with connect(identity / "kubeconfig", COMPONENT) as client:
        await keep(client, settings, own, certificate.context(), ready=service.ready)


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, _main, metrics_port=WebhookSettings().metrics_port))
