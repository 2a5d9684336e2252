"""``python -m monopod.eksapi``: runs the EKS API's server and the token webhook."""

import sys

from monopod.eksapi.cluster import ClusterEndpoint
from monopod.eksapi.keys import KeyFile
from monopod.eksapi.manager import COMPONENT, keep
from monopod.eksapi.place import Place
from monopod.eksapi.settings import EksApiSettings
from monopod.identity import access_key
from monopod.identity.serving import ServingCertificate
from monopod.kube import Daemon, connect, serve
from monopod.settings import Settings


async def _main(service: Daemon) -> None:
    settings = Settings()
    # pydantic reads missing arguments from the environment.
    own = EksApiSettings()  # pyright: ignore[reportCallIssue]
    identity = own.identity or settings.identities / "eksapi"
    certificate = ServingCertificate(identity / "serving.crt", identity / "serving.key")
    place = Place(
        settings.cluster,
        settings.region,
        settings.account,
        settings.unsupported_regions,
        settings.max_profiles,
    )
    endpoint = ClusterEndpoint(own.server, (identity / "ca.crt").read_bytes(), own.services)
    keys = KeyFile(identity / access_key.FILE)
    async with connect(identity / "kubeconfig", COMPONENT) as client:
        context = certificate.context()
        await keep(client, place, endpoint, keys, own, context=context, ready=service.ready)


if __name__ == "__main__":
    port = EksApiSettings().metrics_port  # pyright: ignore[reportCallIssue]
    sys.exit(serve(COMPONENT, _main, metrics_port=port))
