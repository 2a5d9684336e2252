"""What a cluster remembers of itself: the file ``cluster.json``.

Everything else is either derived from the settings or in the API server.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from monopod.cluster.errors import ClusterError, NoClusterError
from monopod.files import write_whole


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of ``cluster.json``."""

    transit: int
    """Number of the transit network."""
    components: str
    """Directory of upstream's programs that it was last started with."""
    guest_image: str | None = None
    """Directory of the image that its machines run."""
    furnished: bool = False
    """Whether it has had its first VPC, subnets and profile. They are the user's from then on."""


def load(home: Path) -> State | None:
    """Read the state of the cluster in ``home``, or nothing if there is none.

    Raises:
        ClusterError: There is one, but it cannot be read.
    """
    try:
        return msgspec.json.decode(_file(home).read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ClusterError(f"{_file(home)} cannot be read: {error}") from error


def require(home: Path) -> State:
    """Read the state of the cluster that has to be in ``home``.

    Raises:
        NoClusterError: There is none.
        ClusterError: It cannot be read.
    """
    known = load(home.resolve())
    if known is None:
        raise NoClusterError(f"there is no cluster in {home}: `monopod up` makes one")
    return known


def save(home: Path, state: State) -> None:
    """Write the state, whole or not at all."""
    content = msgspec.json.format(msgspec.json.encode(state)) + b"\n"
    write_whole(_file(home), content, mode=0o644)


@contextmanager
def locked(home: Path) -> Generator[None]:
    """Be the only one who starts or stops the cluster in ``home``; ends with this process.

    Raises:
        ClusterError: Somebody else is at it.
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
