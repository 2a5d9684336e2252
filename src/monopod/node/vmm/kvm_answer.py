"""The probe's answer, kept in the KVM driver's runtime directory.

It is valid for one boot of the host, its processor, kernel, QEMU and the guest's kernel.
"""

from pathlib import Path
from typing import Final

import msgspec

from monopod.node.vmm.qemu_command import HOST_PROCESSOR
from monopod.util.files import write_atomically

_NAME: Final = ".probe.json"


class Probe(msgspec.Struct, frozen=True):
    """The result of a probe."""

    works: bool
    reason: str
    """Why it works or does not, for users."""
    at: float = 0.0
    """Time of the probe in seconds of Unix time."""
    processor: str = HOST_PROCESSOR
    """The model of virtual processor that was last tried: that of machines, if it works."""


class Kept(msgspec.Struct):
    """A stored result, with the identity of the host that it is valid for."""

    identity: dict[str, str]
    answer: Probe


def read(runtime: Path) -> Kept | None:
    """Read the last answer. None means there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((runtime / _NAME).read_bytes(), type=Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write(runtime: Path, kept: Kept) -> None:
    """Write an answer atomically.

    Raises:
        OSError: It cannot be written.
    """
    write_atomically(runtime / _NAME, msgspec.json.encode(kept), mode=0o644)


def processor(runtime: Path) -> str:
    """Return the model of virtual processor with which KVM works."""
    kept = read(runtime)
    return HOST_PROCESSOR if kept is None else kept.answer.processor
