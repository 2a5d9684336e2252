"""The persistent state of a cluster: the file ``cluster.json``.

All other state is derived from the settings or in the API server.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from monopod.controlplane.errors import ClusterError, NoClusterError
from monopod.util.files import write_atomically


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of ``cluster.json``."""

    transit: int
    """Number of the transit network."""
    components: str
    """Directory of upstream's programs of its last start."""
    guest_image: str | None = None
    """Directory of the image that its machines run."""
    furnished: bool = False
    """Whether its first VPC, subnets and profile were created; from then on the user owns them."""
    encryption_key: str = ""
    """Name of the key under which all Secrets are encrypted; empty means not all are."""


def load(home: Path) -> State | None:
    """Return the state of the cluster in ``home``; None means that there is none.

    Raises:
        ClusterError: The file exists but cannot be read.
    """
    try:
        return msgspec.json.decode(_file(home).read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ClusterError(f"{_file(home)} cannot be read: {error}") from error


def require(home: Path) -> State:
    """Return the state of the cluster in ``home``, which must exist.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: It cannot be read.
    """
    known = load(home.resolve())
    if known is None:
        raise NoClusterError(f"there is no cluster in {home}: `monopod up` makes one")
    return known


def save(home: Path, state: State) -> None:
    """Write the state atomically."""
    content = msgspec.json.format(msgspec.json.encode(state)) + b"\n"
    write_atomically(_file(home), content, mode=0o644)


@contextmanager
def locked(home: Path) -> Generator[None]:
    """Hold the lock on the cluster in ``home``; released when this process ends.

    Raises:
        ClusterError: Another process holds it.
    """
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ClusterError(
            f"another monopod is starting or stopping the cluster in {home}"
        ) from error
    finally:
        os.close(descriptor)


def _file(home: Path) -> Path:
    return home / "cluster.json"
