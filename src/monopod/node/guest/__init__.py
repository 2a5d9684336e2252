"""The guest: the image that all machines share, and the disks and files of each machine."""

from monopod.node.guest.configuration import (
    SYSTEM_MEMORY_MIB,
    NodeConfiguration,
    Registry,
    node_files,
)
from monopod.node.guest.disks import DiskError, create_configuration_disk, create_data_disk
from monopod.node.guest.errors import GuestError
from monopod.node.guest.image import GuestImage, QemuKernel, UmlKernel, provide
from monopod.node.guest.pull_proxy import PullProxy

__all__ = [
    "SYSTEM_MEMORY_MIB",
    "DiskError",
    "GuestError",
    "GuestImage",
    "NodeConfiguration",
    "PullProxy",
    "QemuKernel",
    "Registry",
    "UmlKernel",
    "create_configuration_disk",
    "create_data_disk",
    "node_files",
    "provide",
]
