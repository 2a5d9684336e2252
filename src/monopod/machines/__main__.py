"""``python -m monopod.machines``: the process that runs the MicroVM controllers."""

import sys

from monopod.capacity.host import open_local
from monopod.kube import Service, connect, serve
from monopod.machines import surroundings
from monopod.machines.keeper import keep
from monopod.machines.settings import MachinesSettings
from monopod.machines.voice import COMPONENT
from monopod.settings import Settings


async def _main(service: Service) -> None:
    settings, own = Settings(), MachinesSettings()
    if own.image is None:
        raise ValueError("MONOPOD_MACHINES_IMAGE is not set; set it to the guest image's directory")
    kubeconfig = settings.identities / "machines" / "kubeconfig"
    known = surroundings.read(kubeconfig, settings.region)
    async with (
        connect(kubeconfig, COMPONENT) as client,
        open_local(settings, own.image) as capacity,
    ):
        await keep(client, capacity, known, own, ready=service.ready)


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, _main, metrics_port=MachinesSettings().metrics_port))
