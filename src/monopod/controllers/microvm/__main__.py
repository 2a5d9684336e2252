"""``python -m monopod.controllers.microvm``: the process that runs the MicroVM controllers."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from monopod.controllers.microvm import cluster_endpoint
from monopod.controllers.microvm.cluster_endpoint import ClusterEndpoint
from monopod.controllers.microvm.events import COMPONENT
from monopod.controllers.microvm.manager import run
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.identity.pull_grant import PullGrants
from monopod.kube import Client, Daemon, connect, leader_election, serve
from monopod.node.provider import MachineProvider
from monopod.node.provider.kubernetes import open_launchers
from monopod.node.provider.launcher_settings import LauncherSettings
from monopod.node.provider.local_host import open_local
from monopod.settings import Settings
from monopod.util.scheduling import set_slice

_SLICE_NS: Final = 300_000
"""Of machines, which inherit it: a request passes several, each of which waits for its turn."""


async def _main(service: Daemon) -> None:
    settings, own = Settings(), MicroVMSettings()
    async with (
        connect(settings.identities / "microvm" / "kubeconfig", COMPONENT) as client,
        _cluster(settings, own, client) as (provider, known),
    ):
        await run(
            client,
            provider,
            known,
            PullGrants(settings.pulls),
            own,
            ready=service.ready,
            election=leader_election.configured(settings, "microvm"),
        )


@asynccontextmanager
async def _cluster(
    settings: Settings, own: MicroVMSettings, client: Client
) -> AsyncGenerator[tuple[MachineProvider, ClusterEndpoint]]:
    kubeconfig = settings.identities / "microvm" / "kubeconfig"
    if settings.provider == "kubernetes":
        known = await cluster_endpoint.of_services(client, kubeconfig, settings.region, own)
        async with open_launchers(client, LauncherSettings()) as launchers:
            yield launchers, known
        return
    set_slice(_SLICE_NS)
    if own.image is None:
        raise ValueError("MONOPOD_MICROVM_IMAGE is not set; set it to the guest image's directory")
    known = cluster_endpoint.read(kubeconfig, settings.region)
    async with open_local(settings, own.image) as local:
        yield local, known


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, _main, metrics_port=MicroVMSettings().metrics_port))
