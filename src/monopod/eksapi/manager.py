"""Runs the EKS API's process: its server and the token webhook, then readiness."""

import ssl
from collections.abc import Callable
from typing import Final

from monopod.eksapi.authenticator import Authenticator
from monopod.eksapi.cluster import ClusterEndpoint
from monopod.eksapi.keys import KeyFile
from monopod.eksapi.operations import Operations
from monopod.eksapi.place import Place
from monopod.eksapi.server import Server
from monopod.eksapi.settings import EksApiSettings
from monopod.kube import Client, Manager
from monopod.util.https_server import HttpsServer

COMPONENT: Final = "monopod-eksapi"
_LOOPBACK: Final = "127.0.0.1"


async def keep(
    client: Client,
    place: Place,
    endpoint: ClusterEndpoint,
    keys: KeyFile,
    own: EksApiSettings,
    *,
    context: ssl.SSLContext,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run the EKS API until cancelled.

    Args:
        client: As ``monopod:eksapi``.
        place: The cluster's name, region, account and limits.
        endpoint: The cluster's addresses and authority.
        keys: The access keys of callers.
        own: The servers' addresses.
        context: TLS context with the servers' certificate.
        ready: Called once both servers accept connections.

    Raises:
        OSError: A port is taken.
    """
    api = Server(Operations(client, place, endpoint), keys.current, place.region)
    tokens = Authenticator(place.cluster, keys.current)
    manager = Manager(client)
    for server in (
        HttpsServer(tokens.handle, _LOOPBACK, own.token_port, context),
        HttpsServer(api.handle, own.address, own.port, context),
    ):
        manager.add(server.run, first_pass=server.listening)
    await manager.run(ready)
