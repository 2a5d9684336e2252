"""The description of a supervised process, from which its confinement and start are derived."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final


class Role(enum.Enum):
    """What a process is for, which decides how much of the host it may take."""

    STORE = "store"
    """It holds the cluster's objects."""
    SERVER = "server"
    """Guests, tenants or clients of load balancers reach it."""
    CONTROLLER = "controller"
    """It calls the API server."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the control plane.

    A confined one sees an empty file system into which only the paths named here are bound; it has
    its own uid, cannot gain privileges, and holds only the capabilities listed.
    """

    name: str
    """Unique; the name of its service and log directory."""
    argv: tuple[str, ...]
    """Its program, by its path in the sandbox, and arguments. No secrets: all users can read it."""
    uid: int
    """The user and group it runs as."""
    namespace: str
    """The network namespace it runs in."""
    role: Role = Role.CONTROLLER
    """What limits it has."""
    capabilities: tuple[str, ...] = ()
    """The capabilities it retains, as ``setpriv`` names them: ``net_admin``."""
    confined: bool = True
    """Whether it gets its own file system. If not, it sees the host's, and its ``capabilities`` are
    an upper bound for its child processes."""
    programs: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """Programs bound into :data:`PROGRAMS`, by their name there."""
    readable: tuple[Path, ...] = ()
    """Paths it may read, secrets included, each at the same path as on the host."""
    writable: tuple[Path, ...] = ()
    """Directories it may write."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its whole environment except ``PATH``."""
    configuration: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its configuration files by name, without secrets; see :attr:`Service.configured`. A confined
    one's ``resolv.conf`` is its ``/etc/resolv.conf`` too; without, it resolves no names."""
    configured: Path | None = None
    """The directory its configuration files are written to; it may read them."""
    resolver: Path | None = None
    """The file it sees as ``/etc/resolv.conf``; None means that it resolves no names."""
    prepare: tuple[str, ...] = ()
    """A command that runs to completion before each start of ``argv``, in the same confinement; its
    failure is ignored."""
    socket: Path | None = None
    """The Unix socket it listens on; removed before each start, as a killed process leaves it."""
    health: str = ""
    """A URL in its namespace that answers 200 while it is healthy."""
    notifies: bool = False
    """Whether it notifies s6 of its readiness, on the descriptor ``NOTIFY_FD``."""


NOTIFY_FD: Final = 3
"""The descriptor on which a service that ``notifies`` reports readiness."""
RESOLVER_FILE: Final = "resolv.conf"
PROGRAMS: Final = Path("/run/monopod/bin")
"""Directory of a confined process's programs. Upstream's multi-call binary acts by its name."""
SEARCH_PATH: Final = f"{PROGRAMS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
