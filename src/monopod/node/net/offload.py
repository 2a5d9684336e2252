"""Checksum offload of network interfaces."""

import ctypes
import fcntl
import socket
import struct
from typing import Final

from monopod.node.net.errors import NetworkError

_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_STXCSUM: Final = 0x17


def transmit_checksums_in_software(control: socket.socket, interface: str) -> None:
    """Turn off transmit checksum offload of an interface.

    A veth end offloads checksums to a peer that never computes them, so raw readers of the peer's
    packets would get incomplete checksums.

    Args:
        control: Any socket of the interface's namespace.
        interface: Its name.
    """
    # struct ethtool_value {u32 cmd; u32 data}, pointed to by struct ifreq
    value = ctypes.create_string_buffer(struct.pack("=II", _ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
    try:
        fcntl.ioctl(control, _SIOCETHTOOL, request)
    except OSError as error:
        raise NetworkError(
            f"cannot turn off checksum offload of {interface}: {error.strerror}"
        ) from error
