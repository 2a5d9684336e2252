"""``python -m monopod.eksapi``: runs the EKS API's server and the token webhook."""

import asyncio
import ssl
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from monopod.eksapi.authenticator import Authenticator
from monopod.eksapi.cluster import ClusterEndpoint
from monopod.eksapi.keys import KeyFile
from monopod.eksapi.operations import Operations
from monopod.eksapi.place import Place
from monopod.eksapi.server import Server
from monopod.eksapi.settings import EksApiSettings
from monopod.identity import access_key
from monopod.identity.serving import ServingCertificate
from monopod.kube import Daemon, connect, serve
from monopod.settings import Settings

_NAME: Final = "monopod-eksapi"
_LOOPBACK: Final = "127.0.0.1"
_GRACE_S: Final = 5.0
_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def _run(service: Daemon) -> None:
    own, settings = EksApiSettings(), Settings()  # pyright: ignore[reportCallIssue] - from the environment
    identity = own.identity or settings.identities / "eksapi"
    certificate = ServingCertificate(identity / "serving.crt", identity / "serving.key")
    keys = KeyFile(identity / access_key.FILE)
    place = Place(
        settings.cluster,
        settings.region,
        settings.account,
        settings.unsupported_regions,
        settings.max_profiles,
    )
    surroundings = ClusterEndpoint(own.server, (identity / "ca.crt").read_bytes(), own.services)
    async with connect(identity / "kubeconfig", _NAME) as client:
        server = Server(Operations(client, place, surroundings), keys.current, settings.region)
        authenticator = Authenticator(settings.cluster, keys.current)
        async with (
            _listening(authenticator.handle, _LOOPBACK, own.token_port, certificate.context()),
            _listening(server.handle, own.address, own.port, certificate.context()),
        ):
            service.ready()
            await asyncio.Event().wait()


@asynccontextmanager
async def _listening(
    handle: _Handler, address: str, port: int, context: ssl.SSLContext
) -> AsyncGenerator[None]:
    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=_GRACE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port, ssl_context=context)
        await site.start()
        yield
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    # pydantic reads missing arguments from the environment.
    port = EksApiSettings().metrics_port  # pyright: ignore[reportCallIssue]
    sys.exit(serve(_NAME, _run, metrics_port=port))
