"""``python -m monopod.metricsproxy``: runs the metrics proxy."""

import asyncio
import sys
from typing import Final

from monopod.identity.serving import ServingCertificate
from monopod.kube import Daemon, connect, serve
from monopod.metricsproxy.access import Access
from monopod.metricsproxy.server import Server, Targets
from monopod.metricsproxy.settings import MetricsProxySettings
from monopod.settings import Settings
from monopod.util.https_server import HttpsServer

COMPONENT: Final = "metricsproxy"


async def _main(service: Daemon) -> None:
    settings, own = Settings(), MetricsProxySettings()
    identity = own.identity or settings.identities / COMPONENT
    serving = ServingCertificate(identity / "serving.crt", identity / "serving.key")
    targets = Targets(
        own.targets, own.timeout_s, (identity / "client.crt", identity / "client.key")
    )
    async with (
        connect(identity / "kubeconfig", COMPONENT) as client,
        asyncio.TaskGroup() as group,
    ):
        server = Server(Access(client), targets, requests=own.requests)
        https = HttpsServer(server.handle, own.address, own.port, serving.context())
        group.create_task(https.run())
        await https.listening.wait()
        service.ready()


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, _main, metrics_port=MetricsProxySettings().metrics_port))
