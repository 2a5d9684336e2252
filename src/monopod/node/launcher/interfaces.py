"""Parameters of network interfaces, set by netlink where ``/proc/sys`` is read-only."""

import os
import socket
import struct
from typing import Final

from monopod.node.launcher.plan import LauncherError

FORWARDING: Final = 1
SEND_REDIRECTS: Final = 6
SRC_VALID_MARK: Final = 24
"""``IPV4_DEVCONF_*`` of linux/ip.h."""
_RTM_NEWLINK: Final = 16
_NLMSG_ERROR: Final = 2
_REQUEST_ACK: Final = 0x5
_IFLA_AF_SPEC: Final = 26
_IFLA_INET_CONF: Final = 1
_NESTED: Final = 0x8000
_HEADER: Final = "=IHHII"
_HEADER_BYTES: Final = 16
_INTERFACE: Final = "=BxHiII"
_ANSWER_BYTES: Final = 8192


def configure(name: str, parameters: dict[int, int]) -> None:
    """Set IPv4 parameters of an interface.

    Args:
        name: The interface.
        parameters: Values by ``IPV4_DEVCONF_*`` number.

    Raises:
        LauncherError: The kernel refused.
    """
    try:
        request = message(socket.if_nametoindex(name), parameters)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.bind((0, 0))
            netlink.send(request)
            answer = netlink.recv(_ANSWER_BYTES)
    except OSError as error:
        raise LauncherError(f"interface {name} cannot be configured: {error}") from error
    _, kind = struct.unpack_from("=IH", answer)
    code = -struct.unpack_from("=i", answer, _HEADER_BYTES)[0] if kind == _NLMSG_ERROR else 0
    if code:
        raise LauncherError(f"interface {name} cannot be configured: {os.strerror(code)}")


def message(index: int, parameters: dict[int, int]) -> bytes:
    """Return the netlink message that sets IPv4 parameters of an interface."""
    values = b"".join(
        _attribute(number, struct.pack("=I", parameters[number])) for number in parameters
    )
    inet = _attribute(socket.AF_INET | _NESTED, _attribute(_IFLA_INET_CONF | _NESTED, values))
    interface = struct.pack(_INTERFACE, socket.AF_UNSPEC, 0, index, 0, 0)
    body = interface + _attribute(_IFLA_AF_SPEC | _NESTED, inet)
    header = struct.pack(_HEADER, _HEADER_BYTES + len(body), _RTM_NEWLINK, _REQUEST_ACK, 1, 0)
    return header + body


def _attribute(kind: int, content: bytes) -> bytes:
    padding = bytes(-len(content) % 4)
    return struct.pack("=HH", 4 + len(content), kind) + content + padding
