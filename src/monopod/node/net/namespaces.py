"""Network namespaces: creates, removes and enters them.

A namespace is a property of a thread. Each entry uses a new thread that ends with it; the threads
of the event loop and of the pools never change theirs. Sockets keep the namespace that they were
made in, so an entry is needed only to make one.
"""

import ctypes
import errno
import fcntl
import io
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pyroute2 import AsyncIPRoute

from monopod.node.net.errors import NetworkError

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
    """A network namespace that a bind mount keeps alive."""

    path: Path

    @classmethod
    def named(cls, name: str) -> "Namespace":
        """Return the namespace of this name in ``ip netns``."""
        return cls(_NAMED / name)

    @classmethod
    def own(cls) -> "Namespace":
        """Return the namespace of this process."""
        return cls(_OWN)

    def exists(self) -> bool:
        """Whether the namespace exists, and not only the file that it is to be mounted on."""
        try:
            return self.path.stat().st_dev == _OWN.stat().st_dev
        except FileNotFoundError:
            return False

    def create(self) -> None:
        """Create the namespace. Idempotent.

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
        """Unmount it; it ends with the last process and socket in it. Idempotent."""
        while self.exists():
            _check(
                _libc.umount2(os.fsencode(self.path), _MNT_DETACH), f"cannot unmount {self.path}"
            )
        self.path.unlink(missing_ok=True)

    def open(self) -> io.FileIO:
        """Open the namespace's file for system calls; the caller closes it.

        Raises:
            NetworkError: There is no such namespace.
        """
        try:
            return io.FileIO(self.path)
        except OSError as error:
            raise NetworkError(f"no network namespace {self.path}: {error.strerror}") from error

    def call(self, function: Callable[[], _T]) -> _T:
        """Run a short, non-blocking function in the namespace and return its result.

        Raises:
            NetworkError: There is no such namespace, or this process may not enter it.
        """

        def body() -> _T:
            with self.open() as opened:
                _check(_libc.setns(opened.fileno(), _CLONE_NEWNET), f"cannot enter {self.path}")
            return function()

        return _in_new_thread(body)

    async def netlink(self) -> AsyncIPRoute:
        """Open a netlink route socket without notifications; the caller closes it."""
        made = self.call(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM))
        netlink = AsyncIPRoute(fileno=made.detach(), groups=0, ext_ack=True, strict_check=True)
        try:
            await netlink.bind()
        except BaseException:
            netlink.close()
            raise
        return netlink

    def set_sysctls(self, values: dict[str, str]) -> None:
        """Set kernel parameters by path below ``/proc/sys/net``, in the order given.

        Parameters of IPv6 are skipped on a kernel without IPv6.

        Raises:
            NetworkError: There is no such parameter, or the kernel rejects the value.
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
        """Read a kernel parameter by path below ``/proc/sys/net``."""
        return self.call(lambda: Path("/proc/sys/net", name).read_text().strip())

    def interfaces(self) -> dict[str, int]:
        """Return the indices of its interfaces by name."""
        return {name: index for index, name in self.call(socket.if_nameindex)}


def _prepare(directory: Path) -> None:
    """Make a directory a shared bind mount, as the first ``ip netns add`` does.

    A later ``ip netns add`` would bind the directory over itself and hide namespaces mounted in it
    before, which could then no longer be removed.

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
    """Run a short, non-blocking function in a new network namespace.

    Only sockets and files that the function opens keep it alive: it ends with the last of them.

    Raises:
        NetworkError: The kernel refused.
    """

    def body() -> _T:
        _check(_libc.unshare(_CLONE_NEWNET), "cannot make a network namespace")
        return function()

    return _in_new_thread(body)
