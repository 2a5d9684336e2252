"""The jail of every VMM, as the command line of standard tools.

``setpriv`` drops root for the machine's own uid, ``setarch`` disables address space randomisation
if requested, ``bwrap`` makes namespaces and an almost empty root as that uid, then the VMM runs.

User Mode Linux needs fixed addresses. It uses all memory up to its heap for its guest: with random
addresses a guest of 512 MiB would get up to twice that, and its size would vary between boots. The
kernel is linked to a fixed address, so little protection is lost.

A VMM has no path to its disks: it inherits descriptors that were opened before root was dropped, so
disks may be where the machine's uid has no access. Only the program and its libraries are bound
into the jail by path, and must be readable by all users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Jail:
    """The parameters of one jail."""

    uid: int
    """User and group on the host."""
    files: Mapping[str, Path]
    """Read-only bind mounts: source by path in the jail."""
    temporary_bytes: int
    """Size of the only writable file system, a tmpfs at ``/dev/shm``."""
    seccomp_fd: int
    devices: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """Device nodes: source by path in the jail."""
    proc: bool = False
    """Whether it has a ``/proc``, which shows only processes of the jail."""
    hidden: Sequence[str] = ()
    """Masked paths in ``/proc``; directories end in a slash."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Nothing of ours is inherited."""
    fixed_addresses: bool = False
    dies_with_parent: bool = False


def jail_argv(jail: Jail, command: Sequence[str]) -> list[str]:
    """Return the command that runs another one in a jail."""
    binds: list[str] = []
    hides: list[str] = []
    for name in jail.hidden:
        # A bound device on a nodev mount cannot even be opened.
        empty = ("--tmpfs",) if name.endswith("/") else ("--ro-bind", "/dev/null")
        hides += [*empty, f"/proc/{name.rstrip('/')}"]
        hides += ["--remount-ro", f"/proc/{name.rstrip('/')}"] if name.endswith("/") else []
    variables: list[str] = []
    for name, value in jail.environment.items():
        variables += ["--setenv", name, value]
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
        *variables,
        *binds,
        *(("--proc", "/proc", *hides) if jail.proc else ()),
        *("--size", str(jail.temporary_bytes), "--tmpfs", "/dev/shm"),  # noqa: S108 - the jail's
        *("--remount-ro", "/", "--chdir", "/", "--"),
        *command,
    ]


def setpriv_argv(uid: int) -> list[str]:
    """Return the prefix of a command that runs the rest as a uid without any privileges."""
    return [
        "setpriv",
        *(f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"),
        *("--inh-caps=-all", "--bounding-set=-all", "--"),
    ]
