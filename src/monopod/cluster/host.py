"""What a host must have before a cluster is started on it, looked for all at once.

Whoever reads the answer can mend everything in one go, instead of meeting refusal after refusal.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.cluster.cgroup import mounted
from monopod.cluster.errors import HostUnfitError
from monopod.settings import Settings

PACKAGE_OF_PROGRAM: Final[Mapping[str, str]] = {
    "bwrap": "bubblewrap",
    "docker-registry": "docker-registry",
    "execlineb": "execline",
    "haproxy": "haproxy",
    "ip": "iproute2",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "prlimit": "util-linux",
    "s6-log": "s6",
    "s6-svscan": "s6",
    "setpriv": "util-linux",
    "setsid": "util-linux",
}
"""Programs that a running cluster calls, and the Debian packages that have them."""
_NOT_ROOT: Final = "must run as root: it makes namespaces, links and cgroups"
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES: Final = ("net", "pid", "mnt", "ipc", "uts", "user")
_HOME_BYTES: Final = 2 << 30
"""The database, the registry and the logs; machines' disks come on top, as they fill."""
_LONGEST_HOME: Final = 80
"""Characters; a socket's path may have 107."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found on a host, before it is judged."""

    uid: int
    programs: frozenset[str]
    namespaces: frozenset[str]
    user_namespaces: int
    """How many a user may make."""
    cgroups: bool
    """Whether a hierarchy is mounted and can be written."""
    free_bytes: int
    """Where the cluster's state goes."""
    home: Path


def judge(found: Findings) -> tuple[str, ...]:
    """Return what is missing, one line each, with the remedy; nothing for a fit host."""
    missing: list[str] = []
    if found.uid != 0:
        missing.append(_NOT_ROOT)
    absent = sorted(set(PACKAGE_OF_PROGRAM) - found.programs)
    if absent:
        packages = " ".join(sorted({PACKAGE_OF_PROGRAM[program] for program in absent}))
        missing.append(
            f"programs {', '.join(absent)} are missing: "
            f"apt-get install --no-install-recommends {packages}"
        )
    if lacking := sorted(set(_NAMESPACES) - found.namespaces):
        missing.append(f"the kernel has no namespaces of kind {', '.join(lacking)}")
    elif found.user_namespaces == 0:
        missing.append("user namespaces are forbidden: sysctl -w user.max_user_namespaces=65536")
    if not found.cgroups:
        missing.append("no cgroup hierarchy can be written: mount one on /sys/fs/cgroup")
    if found.free_bytes < _HOME_BYTES:
        missing.append(
            f"{found.home} has {found.free_bytes >> 20} MiB free, {_HOME_BYTES >> 20} are needed"
        )
    if len(str(found.home)) > _LONGEST_HOME:
        missing.append(f"the path {found.home} is too long: at most {_LONGEST_HOME} characters")
    return tuple(missing)


def check(settings: Settings) -> None:
    """Look at this host.

    Raises:
        HostUnfitError: Something is missing; it names everything.
    """
    if missing := judge(_look(settings.home.resolve())):
        raise HostUnfitError(missing)


def check_root() -> None:
    """See that we may do what a cluster's start or end takes.

    Raises:
        HostUnfitError: We may not.
    """
    if os.geteuid() != 0:
        raise HostUnfitError((_NOT_ROOT,))


def _look(home: Path) -> Findings:
    # Not Path.exists, which raises where somebody other than root may not look.
    existing = next(path for path in (home, *home.parents) if os.access(path, os.F_OK))
    return Findings(
        uid=os.geteuid(),
        programs=frozenset(
            program for program in PACKAGE_OF_PROGRAM if shutil.which(program, path=_SYSTEM_PATH)
        ),
        namespaces=frozenset(path.name for path in Path("/proc/self/ns").iterdir()),
        user_namespaces=_number(Path("/proc/sys/user/max_user_namespaces")),
        cgroups=any(os.access(root, os.W_OK) for root in mounted()[:1]),
        free_bytes=shutil.disk_usage(existing).free,
        home=home,
    )


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
