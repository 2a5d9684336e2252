"""What a supervised process is, as data; how it is confined and started is derived from this."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the control plane.

    A confined one sees an empty file system into which only what is named here is bound; it runs as
    a uid of its own, cannot gain privileges, and holds no capability that is not listed.
    """

    name: str
    """Unique; the name of its service and log directory."""
    argv: tuple[str, ...]
    """Its program, as it sees it, and arguments. No secrets: the whole host can read them."""
    uid: int
    """The user and group it runs as."""
    namespace: str
    """The network namespace it runs in."""
    capabilities: tuple[str, ...] = ()
    """What it keeps, as ``setpriv`` names them: ``net_admin``."""
    confined: bool = True
    """Whether it gets a file system of its own. Without, it sees the host's, and its
    ``capabilities`` are an upper bound for whatever it starts."""
    programs: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """Files to be found in :data:`PROGRAMS`, by the name they shall have there."""
    readable: tuple[Path, ...] = ()
    """Paths it may read, its secrets among them, each at the place it has on the host."""
    writable: tuple[Path, ...] = ()
    """Directories it may write."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its whole environment, but for ``PATH``."""
    configuration: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its configuration files, by name, without secrets; see :attr:`Service.configured`."""
    configured: Path | None = None
    """The directory its configuration files are written to; it may read them."""
    prepare: tuple[str, ...] = ()
    """A command that runs to its end before each start of ``argv``, confined as that is; it may
    fail."""
    socket: Path | None = None
    """The Unix socket it listens on; removed before every start, as a killed process leaves it."""
    health: str = ""
    """A URL in its namespace that answers 200 while it works."""
    notifies: bool = False
    """Whether it tells s6 itself when it is ready, on the descriptor ``NOTIFY_FD`` names."""


NOTIFY_FD: Final = 3
"""The descriptor on which a service that ``notifies`` reports."""
PROGRAMS: Final = Path("/run/monopod/bin")
"""Where a confined process finds its programs. Upstream's multi-call binary acts by its name."""
SEARCH_PATH: Final = f"{PROGRAMS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
