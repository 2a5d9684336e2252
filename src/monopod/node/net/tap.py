"""Tap devices of this process's network namespace."""

import fcntl
import io
import struct
from pathlib import Path
from typing import Final

TUN: Final = Path("/dev/net/tun")
_TUNSETIFF: Final = 0x400454CA
_TUNSETPERSIST: Final = 0x400454CB
_IFF_TAP: Final = 0x0002
_IFF_NO_PI: Final = 0x1000
"""Plain frames without virtio-net headers: the kernel completes checksums and segmentation before
a guest sees a frame, and parses no offload header written by a guest."""


def attach_tap(name: str, tun: Path = TUN) -> io.FileIO:
    """Attach to a tap device, which is made if it is missing; the caller closes it.

    A device that was not kept ends with its descriptor.

    Args:
        name: The interface.
        tun: The node of the kernel's module.

    Raises:
        OSError: The kernel refused, or a process is attached to it already.
    """
    device = io.FileIO(tun, "r+")
    try:
        request = struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI)
        fcntl.ioctl(device, _TUNSETIFF, request)
    except BaseException:
        device.close()
        raise
    return device


def keep_tap(device: io.FileIO) -> None:
    """Keep a tap device after its descriptor is closed.

    Raises:
        OSError: The kernel refused.
    """
    fcntl.ioctl(device, _TUNSETPERSIST, 1)
