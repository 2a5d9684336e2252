"""The packet sockets that VMMs read and write frames by."""

import socket
from typing import Final

_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_PACKET_IGNORE_OUTGOING: Final = 23


def open_packet_socket() -> socket.socket:
    """Open a packet socket of this network namespace, not bound yet; the caller closes it.

    It receives nothing before :func:`bind`, and then no frame that was sent on it.

    Raises:
        OSError: This process lacks CAP_NET_RAW.
    """
    # Protocol 0 receives nothing until the socket is bound to the one interface.
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        made.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    except BaseException:
        made.close()
        raise
    return made


def bind(opened: socket.socket, interface: str) -> None:
    """Bind a packet socket to an interface, for frames of every protocol.

    Raises:
        OSError: There is no such interface in its namespace.
    """
    opened.bind((interface, _ETH_P_ALL))
