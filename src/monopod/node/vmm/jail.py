"""The jail that every VMM runs in, as arguments of the programs that make it.

Tools, one after the other: ``setpriv`` gives up root for the machine's own uid, ``setarch`` stops
the random placing of the heap where that is asked for, ``bwrap`` makes namespaces and an almost
empty root as that uid, the VMM runs. We write no sandbox of our own.

User Mode Linux asks for it. It takes everything up to its heap for its guest's memory: with random
places a guest of 512 MiB would get up to twice that, and its size would differ from boot to boot.
The kernel is linked to a fixed address, so little protection is lost.

A VMM has no path to its disks: it gets descriptors that were opened before root was given up, so
disks may lie where the machine's uid could never go. Only the program and its libraries are bound
into the jail by path, and must be where everybody can read them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Jail:
    """What is different from one jail to the next."""

    uid: int
    """User and group on the host."""
    files: Mapping[str, Path]
    """What the jail's root holds, read-only: where, and what."""
    temporary_bytes: int
    """Size of the only place that can be written: a file system in memory at ``/dev/shm``."""
    seccomp_fd: int
    devices: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """Device nodes in the jail's root: where, and what."""
    proc: bool = False
    """Whether it needs ``/proc``, of its own processes alone."""
    hidden: Sequence[str] = ()
    """What in ``/proc`` is none of its business; directories end in a slash."""
    fixed_addresses: bool = False
    dies_with_parent: bool = False


def jail_argv(jail: Jail, command: Sequence[str]) -> list[str]:
    """The command that runs another one in a jail."""
    binds: list[str] = []
    hides: list[str] = []
    for name in jail.hidden:
        # A device on a mount that has none cannot even be opened.
        empty = ("--tmpfs",) if name.endswith("/") else ("--ro-bind", "/dev/null")
        hides += [*empty, f"/proc/{name.rstrip('/')}"]
        hides += ["--remount-ro", f"/proc/{name.rstrip('/')}"] if name.endswith("/") else []
    for inside, outside in sorted(jail.files.items()):
        binds += ["--ro-bind", str(outside), inside]
    for inside, outside in sorted(jail.devices.items()):
        binds += ["--dev-bind", str(outside), inside]
    return [
        *setpriv_argv(jail.uid),
        *(("setarch", "--addr-no-randomize") if jail.fixed_addresses else ()),
        "bwrap",
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
        *("--unshare-cgroup", "--new-session", "--clearenv", "--hostname", "machine"),
        *("--disable-userns", "--cap-drop", "ALL", "--seccomp", str(jail.seccomp_fd)),
        *(("--die-with-parent",) if jail.dies_with_parent else ()),
        *binds,
        *(("--proc", "/proc", *hides) if jail.proc else ()),
        *("--size", str(jail.temporary_bytes), "--tmpfs", "/dev/shm"),  # noqa: S108 - the jail's
        *("--remount-ro", "/", "--chdir", "/", "--"),
        *command,
    ]


def setpriv_argv(uid: int) -> list[str]:
    """The start of a command that runs the rest as a uid with no privileges and no way to any."""
    return [
        "setpriv",
        *(f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"),
        *("--inh-caps=-all", "--bounding-set=-all", "--"),
    ]
