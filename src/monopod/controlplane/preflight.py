"""Preflight: checks at once everything a host needs before a cluster starts on it.

The error lists all that is missing, so that one round of fixes is enough.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.controlplane.errors import HostUnfitError
from monopod.settings import Settings
from monopod.util.cgroups import Hierarchies

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
"""Programs that a running cluster calls, and their Debian packages."""
_NOT_ROOT: Final = "must run as root: it creates namespaces, links and cgroups"
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES: Final = ("net", "pid", "mnt", "ipc", "uts", "user")
_HOME_BYTES: Final = 2 << 30
"""For the database, the registry and the logs; machines' disks add to it as they fill."""
_RENAMED: Final[Mapping[str, str]] = {
    "MONOPOD_ADMISSION_TELL_REGION": "MONOPOD_WEBHOOKS_INJECT_REGION",
    "MONOPOD_ADMISSION_": "MONOPOD_WEBHOOKS_",
    "MONOPOD_BALANCING_": "MONOPOD_LOADBALANCER_",
    "MONOPOD_EKS_": "MONOPOD_EKSAPI_",
    "MONOPOD_MACHINES_": "MONOPOD_MICROVM_",
    "MONOPOD_NETWORK_": "MONOPOD_VPC_",
}
"""Prefixes of settings in earlier versions, and now; the first that fits counts."""
_LONGEST_HOME: Final = 80
"""Characters; a socket's path may have 107."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The facts about a host that the preflight checks."""

    uid: int
    programs: frozenset[str]
    namespaces: frozenset[str]
    user_namespaces: int
    """How many a user may create."""
    cgroups: bool
    """Whether a hierarchy is mounted and writable."""
    free_bytes: int
    """On the file system of the cluster's state."""
    home: Path
    variables: frozenset[str] = frozenset()
    """The names of this process's environment variables."""


def preflight(found: Findings) -> tuple[str, ...]:
    """Return what is missing, one line each, with the remedy; empty for a fit host."""
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
        missing.append("user namespaces are disabled: sysctl -w user.max_user_namespaces=65536")
    if not found.cgroups:
        missing.append("no cgroup hierarchy is writable: mount one on /sys/fs/cgroup")
    if found.free_bytes < _HOME_BYTES:
        missing.append(
            f"{found.home} has {found.free_bytes >> 20} MiB free,"
            f" {_HOME_BYTES >> 20} MiB are required"
        )
    if len(str(found.home)) > _LONGEST_HOME:
        missing.append(f"the path {found.home} is too long: at most {_LONGEST_HOME} characters")
    for name in sorted(found.variables):
        old = next((each for each in _RENAMED if name.startswith(each)), None)
        if old is not None:
            new = f"{_RENAMED[old]}{name.removeprefix(old)}"
            missing.append(f"the setting {name} is called {new} now: rename it")
    return tuple(missing)


def check(settings: Settings) -> None:
    """Check that this host can run a cluster.

    Raises:
        HostUnfitError: A requirement is missing; lists all of them.
    """
    if missing := preflight(_look(settings.home.resolve())):
        raise HostUnfitError(missing)


def check_root() -> None:
    """Check for the privileges that starting or removing a cluster takes.

    Raises:
        HostUnfitError: Not root.
    """
    if os.geteuid() != 0:
        raise HostUnfitError((_NOT_ROOT,))


def _look(home: Path) -> Findings:
    # Not Path.exists, which raises where users other than root may not look.
    existing = next(path for path in (home, *home.parents) if os.access(path, os.F_OK))
    return Findings(
        uid=os.geteuid(),
        programs=frozenset(
            program for program in PACKAGE_OF_PROGRAM if shutil.which(program, path=_SYSTEM_PATH)
        ),
        namespaces=frozenset(path.name for path in Path("/proc/self/ns").iterdir()),
        user_namespaces=_number(Path("/proc/sys/user/max_user_namespaces")),
        cgroups=any(os.access(root, os.W_OK) for root in Hierarchies.of_this_host().roots[:1]),
        free_bytes=shutil.disk_usage(existing).free,
        home=home,
        variables=frozenset(os.environ),
    )


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
