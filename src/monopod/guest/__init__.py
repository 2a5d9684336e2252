"""The guest: the image that all machines share, and the disks and files of each machine."""

from monopod.guest.configuration import (
    SYSTEM_MEMORY_MIB,
    NodeConfiguration,
    Registry,
    node_files,
)
from monopod.guest.credentials import RegistryCredential
from monopod.guest.disks import DiskError, create_configuration_disk, create_data_disk
from monopod.guest.errors import GuestError
from monopod.guest.image import GuestImage, QemuKernel, UmlKernel, provide

__all__ = [
    "SYSTEM_MEMORY_MIB",
    "DiskError",
    "GuestError",
    "GuestImage",
    "NodeConfiguration",
    "QemuKernel",
    "Registry",
    "RegistryCredential",
    "UmlKernel",
    "create_configuration_disk",
    "create_data_disk",
    "node_files",
    "provide",
]
