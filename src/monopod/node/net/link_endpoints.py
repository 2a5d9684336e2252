"""The VMM's end of a link: the single descriptor that a VMM inherits.

A packet socket can send on, and listen to, every interface of its namespace, whichever it is bound
to. So the VMM's end of a veth pair moves into a separate namespace that only the socket keeps
alive: the namespace, and the link with it, ends with the VMM.

A tap device needs no such namespace: its descriptor reaches that one device only. It is in the
router itself, and stays after its VMM ends, until it is removed.
"""

import fcntl
import io
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from monopod.node.net.errors import NetworkError
from monopod.node.net.namespaces import Namespace, call_in_new_namespace
from monopod.node.net.packet_socket import bind, open_packet_socket
from monopod.node.net.tap import attach_tap, keep_tap

_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1


@dataclass(frozen=True, slots=True)
class LinkEndpoint:
    """A packet socket in a namespace that has no interface yet. A context manager.

    ``make``, then the caller moves the interface here from its namespace, then ``take``.
    """

    namespace: io.FileIO
    _socket: socket.socket

    @classmethod
    def make(cls) -> Self:
        """Make the namespace and the socket in it.

        The socket receives only packets from the router, not those sent on it.
        """

        def body() -> tuple[io.FileIO, socket.socket]:
            # Otherwise the kernel sends IPv6 announcements on the link in the guest's name.
            for which in ("all", "default"):
                setting = Path("/proc/sys/net/ipv6/conf", which, "disable_ipv6")
                if setting.exists():
                    setting.write_text("1")
            made = open_packet_socket()
            try:
                return io.FileIO("/proc/thread-self/ns/net"), made
            except BaseException:
                made.close()
                raise

        return cls(*call_in_new_namespace(body))

    def take(self, name: str) -> io.FileIO:
        """Bring up the interface that was moved here; returns the bound socket."""
        request = struct.pack("16sH22x", name.encode(), 0)
        flags = struct.unpack_from("H", fcntl.ioctl(self._socket, _SIOCGIFFLAGS, request), 16)[0]
        request = struct.pack("16sH22x", name.encode(), flags | _IFF_UP)
        fcntl.ioctl(self._socket, _SIOCSIFFLAGS, request)
        bind(self._socket, name)
        return io.FileIO(os.dup(self._socket.fileno()), "r+")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.namespace.close()
        self._socket.close()


def make_tap(router: Namespace, name: str) -> None:
    """Make a persistent tap device. Idempotent.

    Raises:
        NetworkError: The kernel refused.
    """

    def body() -> None:
        with attach_tap(name) as device:
            keep_tap(device)

    try:
        router.call(body)
    except OSError as error:
        raise NetworkError(f"cannot make tap device {name}: {error.strerror}") from error


def open_tap(router: Namespace, name: str) -> io.FileIO:
    """Attach to a tap device; the caller closes it.

    Raises:
        NetworkError: There is no such device, or a process is attached to it already.
    """

    def body() -> io.FileIO:
        # Attaching would create a missing device.
        socket.if_nametoindex(name)
        return attach_tap(name)

    try:
        return router.call(body)
    except OSError as error:
        raise NetworkError(f"cannot open link {name}: {error.strerror}") from error
