"""Whether this host takes new machines: the file ``cordoned`` in the cluster's home.

It is a file and not an object, because it belongs to the host: it is read while no API server runs,
and is there again after a reboot.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from monopod.node.provider import HostCordonedError
from monopod.settings import Settings
from monopod.util.files import write_atomically

NAME: Final = "cordoned"


@dataclass(frozen=True, slots=True)
class Cordon:
    """Since when and why this host takes no new machines."""

    since: datetime
    """With its time zone."""
    why: str = ""
    """In the operator's words."""
    shutdown: bool = False
    """Whether the host is being shut down: the next start of the cluster lifts it."""

    @property
    def message(self) -> str:
        """The cordon for users, with what lifts it."""
        at = f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        why = f" ({self.why})" if self.why else ""
        if self.shutdown:
            return f"this host is shut down since {at}{why}: machines start after `monopod up`"
        return (
            f"this host is cordoned since {at}{why}: no machine starts until"
            " `monopod host uncordon`"
        )

    @property
    def sentence(self) -> str:
        """The same as a sentence."""
        return f"T{self.message[1:]}."


def path_of(settings: Settings) -> Path:
    """Return the path of the file."""
    return settings.home / NAME


def read(path: Path) -> Cordon | None:
    """Return the cordon of a host; None means that it takes new machines.

    An unreadable file is a cordon too: it was written to keep machines off.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(content, type=Cordon)
    since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Cordon(since, f"{path} cannot be read")


def write(path: Path, cordon: Cordon) -> None:
    """Cordon the host, also over a loss of power.

    Raises:
        OSError: The file cannot be written.
    """
    write_atomically(path, msgspec.json.encode(cordon) + b"\n", mode=0o644, lasting=True)


def lift(path: Path) -> Cordon | None:
    """Take new machines again; returns the cordon that was lifted, if there was one.

    Raises:
        OSError: The file cannot be removed.
    """
    found = read(path)
    path.unlink(missing_ok=True)
    return found


def check(path: Path) -> None:
    """Check that the host takes new machines.

    Raises:
        HostCordonedError: It does not.
    """
    if (found := read(path)) is not None:
        raise HostCordonedError(found.message)
