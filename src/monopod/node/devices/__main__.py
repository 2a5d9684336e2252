"""``python -m monopod.node.devices``: the device plug-in of one host."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import structlog

from monopod.kube import Daemon, serve
from monopod.node.devices import manager
from monopod.node.devices.device import KVM, TUN, Device, is_listed, make_node
from monopod.node.devices.plugin import DevicePlugin
from monopod.node.devices.settings import DeviceSettings
from monopod.node.launcher.plan import PROCESSOR_VARIABLE
from monopod.node.vmm.kvm_answer import Probe

COMPONENT: Final = "devices"
_MISC: Final = Path("/proc/misc")
_log: Final = structlog.get_logger(COMPONENT)


def offered(settings: DeviceSettings) -> Iterator[Device]:
    """Yield the devices to offer: KVM only if the probe has booted a guest with it.

    Raises:
        OSError: The probe's answer cannot be read.
        DecodeError: The probe's answer is malformed.
    """
    yield TUN
    answer = msgspec.json.decode(settings.answer.read_bytes(), type=Probe)
    _log.info("kvm_probed", works=answer.works, why=answer.reason)
    if answer.works:
        yield replace(KVM, environment={PROCESSOR_VARIABLE: answer.processor})


def _present(device: Device) -> Callable[[], bool]:
    return lambda: is_listed(device, _MISC.read_text())


async def _main(service: Daemon) -> None:
    settings = DeviceSettings()
    devices = list(offered(settings))
    for device in devices:
        make_node(device)
    plugins = [DevicePlugin(device, _present(device)) for device in devices]
    await manager.run(plugins, settings.directory, service.ready)


if __name__ == "__main__":
    sys.exit(serve(COMPONENT, _main, metrics_port=DeviceSettings().metrics_port))
