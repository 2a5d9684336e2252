"""``python -m monopod.pullproxy``: runs the pull proxy."""

import asyncio
import resource
import sys
from typing import Final

from monopod.identity.pull_grant import PullGrants
from monopod.identity.serving import ServingCertificate
from monopod.kube import Daemon, serve
from monopod.pullproxy.server import Server
from monopod.pullproxy.settings import PullProxySettings
from monopod.pullproxy.upstream import Upstream
from monopod.settings import Settings
from monopod.util.https_server import HttpsServer

COMPONENT: Final = "pullproxy"


async def _main(service: Daemon) -> None:
    settings, own = Settings(), PullProxySettings()
    identity = own.identity or settings.identities / COMPONENT
    certificate = ServingCertificate(identity / "serving.crt", identity / "serving.key")
    # Two for each request; the soft limit is 1,024 by default.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    async with (
        Upstream(own.authorities, own.stalled_s).opened() as upstream,
        asyncio.TaskGroup() as group,
    ):
        server = Server(
            PullGrants(settings.pulls), upstream, requests=own.requests, stalled_s=own.stalled_s
        )
        https = HttpsServer(server.handle, own.address, own.port, certificate.context())
        group.create_task(https.run())
        await https.listening.wait()
        service.ready()


if __name__ == "__main__":
    metrics = PullProxySettings()
    sys.exit(
        serve(
            COMPONENT,
            _main,
            metrics_port=metrics.metrics_port,
            metrics_address=metrics.metrics_address,
        )
    )
