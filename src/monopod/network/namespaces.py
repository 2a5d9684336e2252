"""Network namespaces, entered without the process noticing.

A namespace belongs to a thread. Every entry is made by a thread born for it that ends with it; the
threads of the event loop and of the pools never change theirs. Sockets keep the namespace that they
were made in, so making one is all that an entry is needed for.
"""

import ctypes
import errno
import fcntl
import io
import os
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pyroute2 import AsyncIPRoute

from monopod.network.errors import NetworkError

_T = TypeVar("_T")

_NAMED: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_SHARED: Final = 0x100000
_MNT_DETACH: Final = 2
_OWN: Final = Path("/proc/self/ns/net")

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, doing: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise NetworkError(f"{doing}: {os.strerror(number)}")


def _in_new_thread(function: Callable[[], _T]) -> _T:
    results: list[_T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body, name="netns", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace that a file keeps alive."""

    path: Path

    @classmethod
    def named(cls, name: str) -> "Namespace":
        """The one that ``ip netns`` knows by this name."""
        return cls(_NAMED / name)

    @classmethod
    def own(cls) -> "Namespace":
        """The one this process runs in."""
        return cls(_OWN)

    def exists(self) -> bool:
        """Whether there is a namespace, and not just the file one would be mounted on."""
        try:
            return self.path.stat().st_dev == _OWN.stat().st_dev
        except FileNotFoundError:
            return False

    def create(self) -> None:
        """Make it unless it exists.

        Raises:
            NetworkError: The kernel refused.
        """
        if self.exists():
            return
        if self.path.parent == _NAMED:
            _prepare(_NAMED)
        self.path.touch(mode=0o444)

        def body() -> None:
            _check(_libc.unshare(_CLONE_NEWNET), f"cannot make network namespace {self.path.name}")
            source = f"/proc/self/task/{threading.get_native_id()}/ns/net".encode()
            _check(
                _libc.mount(source, os.fsencode(self.path), None, _MS_BIND, None),
                f"cannot mount network namespace {self.path}",
            )

        _in_new_thread(body)

    def remove(self) -> None:
        """Let go of it; it ends with the last process and socket in it. Again is harmless."""
        while self.exists():
            _check(
                _libc.umount2(os.fsencode(self.path), _MNT_DETACH), f"cannot unmount {self.path}"
            )
        self.path.unlink(missing_ok=True)

    def open(self) -> io.FileIO:
        """A file that stands for it in calls to the kernel; the caller closes it.

        Raises:
            NetworkError: There is no such namespace.
        """
        try:
            return io.FileIO(self.path)
        except OSError as error:
            raise NetworkError(f"no network namespace {self.path}: {error.strerror}") from error

    def call(self, function: Callable[[], _T]) -> _T:
        """Run a short, non-blocking function inside and return its result.

        Raises:
            NetworkError: There is no such namespace, or we may not enter it.
        """

        def body() -> _T:
            with self.open() as opened:
                _check(_libc.setns(opened.fileno(), _CLONE_NEWNET), f"cannot enter {self.path}")
            return function()

        return _in_new_thread(body)

    async def netlink(self) -> AsyncIPRoute:
        """A routing socket inside, which the caller closes. It gets answers, no notifications."""
        made = self.call(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM))
        netlink = AsyncIPRoute(fileno=made.detach(), groups=0, ext_ack=True, strict_check=True)
        await netlink.bind()
        return netlink

    def set_sysctls(self, values: dict[str, str]) -> None:
        """Set kernel parameters, by their path below ``/proc/sys/net``, in the order given.

        Those of IPv6 are left out on a kernel that has none.

        Raises:
            NetworkError: There is no such parameter, or it takes no such value.
        """

        def body() -> None:
            for name, value in values.items():
                if name.startswith("ipv6/") and not Path("/proc/sys/net/ipv6").exists():
                    continue
                Path("/proc/sys/net", name).write_text(value)

        try:
            self.call(body)
        except OSError as error:
            raise NetworkError(f"cannot set a kernel parameter: {error}") from error

    def sysctl(self, name: str) -> str:
        """A kernel parameter, by its path below ``/proc/sys/net``."""
        return self.call(lambda: Path("/proc/sys/net", name).read_text().strip())

    def interfaces(self) -> dict[str, int]:
        """Its interfaces' indices by their names."""
        return {name: index for index, name in self.call(socket.if_nameindex)}


def _prepare(directory: Path) -> None:
    """Have a directory be a shared mount of its own, as the first ``ip netns add`` makes it.

    Were that left to the first, it would mount the directory over itself, and over what is mounted
    in it by then: namespaces made before could not be removed any more.

    Raises:
        NetworkError: The kernel refused.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = os.fsencode(directory)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # ip takes this lock too.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _libc.mount(b"", name, b"none", _MS_SHARED | _MS_REC, None) == 0:
            return
        doing = f"cannot share {directory} among mount namespaces"
        if ctypes.get_errno() != errno.EINVAL:
            _check(-1, doing)
        _check(_libc.mount(name, name, b"none", _MS_BIND | _MS_REC, None), doing)
        _check(_libc.mount(b"", name, b"none", _MS_SHARED | _MS_REC, None), doing)
    finally:
        os.close(descriptor)


def call_in_new_namespace(function: Callable[[], _T]) -> _T:
    """Run a short, non-blocking function in a network namespace that did not exist before.

    Only sockets and files that the function opens keep it alive: it ends with the last of them.

    Raises:
        NetworkError: The kernel refused.
    """

    def body() -> _T:
        _check(_libc.unshare(_CLONE_NEWNET), "cannot make a network namespace")
        return function()

    return _in_new_thread(body)


_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_STXCSUM: Final = 0x17


def transmit_checksums_in_software(control: socket.socket, interface: str) -> None:
    """Have the kernel finish checksums before packets leave an interface.

    A veth end promises checksums to a peer that never computes them; whoever reads that peer's
    packets raw would get them unfinished.

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
