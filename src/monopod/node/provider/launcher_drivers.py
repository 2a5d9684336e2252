"""What a machine's driver needs of its launcher pod. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from monopod.api import keys
from monopod.fargate.sizing import Size
from monopod.node.devices.device import KVM, TUN
from monopod.node.provider.driver_selection import Candidate
from monopod.node.provider.launcher_settings import DRIVERS, LauncherSettings
from monopod.node.vmm import gvisor, qemu, uml
from monopod.node.vmm.qemu_command import TRANSLATED_MIB, Accelerator

_MAX_MILLI_CPU: Final = {
    keys.DRIVER_GVISOR: gvisor.MAX_MILLI_CPU,
    keys.DRIVER_UML: uml.MAX_MILLI_CPU,
    keys.DRIVER_TCG: qemu.MAX_MILLI_CPU,
    keys.DRIVER_KVM: qemu.MAX_MILLI_CPU,
}


@dataclass(frozen=True, slots=True)
class LauncherNeeds:
    """What one machine needs of its launcher pod."""

    image: str
    """Reference of the image."""
    most_mib: int
    """Memory beyond which the VMM is killed."""
    more_mib: int = 0
    """Memory that it requests beyond what a gVisor machine does."""
    guest_memory_mib: int = 0
    """Size of the tmpfs on ``/dev/shm`` that has the guest's memory. 0 means that none has."""
    seccomp: str = "RuntimeDefault"
    """Type of the profile of container ``machine``. The VMM has its driver's own filter as well, an
    allow-list."""
    devices: tuple[str, ...] = ()
    """Extended resources of container ``machine``."""
    network_devices: tuple[str, ...] = ()
    """Extended resources of container ``network``."""


def needs(driver: str, size: Size, settings: LauncherSettings) -> LauncherNeeds:
    """Return what a machine needs.

    Args:
        driver: One of ``launcher_settings.DRIVERS``.
        size: Its provisioned size.
        settings: The launchers' images.
    """
    match driver:
        case keys.DRIVER_UML:
            guest_mib = uml.guest_memory_mib(size.memory_mib)
            return LauncherNeeds(
                settings.linux_image,
                guest_mib + uml.overhead_mib(guest_mib),
                guest_memory_mib=uml.temporary_mib(guest_mib),
                # The runtime's refuses personality(2), by which addresses are not random.
                seccomp="Unconfined",
            )
        case keys.DRIVER_TCG | keys.DRIVER_KVM:
            kvm = driver == keys.DRIVER_KVM
            accelerator = Accelerator.KVM if kvm else Accelerator.TCG
            guest_mib = qemu.guest_memory_mib(size.memory_mib, qemu.processors(size.milli_cpu))
            return LauncherNeeds(
                settings.linux_image,
                guest_mib + qemu.overhead_mib(accelerator, guest_mib),
                more_mib=64 if kvm else 64 + TRANSLATED_MIB,
                devices=(KVM.resource,) if kvm else (),
                network_devices=(TUN.resource,),
            )
        case _:
            return LauncherNeeds(settings.image, size.memory_mib + gvisor.overhead_mib(size))


def candidates(settings: LauncherSettings) -> Iterable[Candidate]:
    """Return all drivers, with the reason for which launcher pods do not run one, if any."""
    for driver in DRIVERS:
        yield Candidate(driver, _MAX_MILLI_CPU[driver], _unusable(driver, settings))


def _unusable(driver: str, settings: LauncherSettings) -> str:
    if driver not in settings.drivers:
        named = ", ".join(settings.drivers)
        return f"launcher pods run {named} (MONOPOD_LAUNCHER_DRIVERS)"
    return ""
