"""Computes a pod's machine size, and keeps every step for ``explain``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from monopod.api import messages
from monopod.errors import MonopodError
from monopod.fargate.sizing.requests import Requests, requests_of
from monopod.fargate.sizing.table import MIB, TABLE, Size, smallest

if TYPE_CHECKING:
    # What starts with a machine needs sizes, and no client.
    from lightkube.models.core_v1 import PodSpec

RESERVED_MEMORY_MIB: Final = 256
"""Memory that Fargate adds to a pod's requests for kubelet, kube-proxy and containerd."""
DEFAULT_STORAGE_GIB: Final = 20
MAX_STORAGE_REQUEST_GIB: Final = 175
STORAGE_RESERVE_PERCENT: Final = 10
STORAGE_RESERVE_GIB: Final = 5
"""Fargate adds this percentage of, and this many GiB to, the requested ephemeral storage."""
_GIB: Final = 1 << 30


class SizingError(MonopodError):
    """No machine size fits the pod."""

    reason: ClassVar[str]
    """Machine-readable, for the pod's PodScheduled condition."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail
        """What is requested and what is available, as one sentence."""


class PodTooLargeError(SizingError):
    """The pod needs more CPU or memory than the largest size; the message is AWS's."""

    reason = messages.TOO_LARGE_REASON


class StorageTooLargeError(SizingError):
    """The pod requests too much ephemeral storage; AWS's text is not known."""

    reason = "POD_EPHEMERAL_STORAGE_EXCEEDS_MAX_FARGATE_SIZE"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The steps of sizing a pod's machine; None where no size fits."""

    cpu: Requests
    """In thousandths of a vCPU."""
    memory: Requests
    """In thousandths of a byte, without the reserve."""
    storage: Requests
    """In thousandths of a byte."""
    size: Size | None
    storage_gib: int | None
    """Ephemeral storage to provision."""

    @property
    def memory_needed_bytes(self) -> int:
        """The memory that a size must provide: requests plus the platform's reserve."""
        return self.memory.whole + RESERVED_MEMORY_MIB * MIB

    @property
    def needed(self) -> str:
        """What a size must provide, as the beginning of a sentence."""
        return (
            f"The pod needs {self.cpu.milli / 1000:g} vCPU and"
            f" {-(-self.memory_needed_bytes // MIB)} MiB of memory, including"
            f" {RESERVED_MEMORY_MIB} MiB for the platform"
        )

    def fits(self, size: Size) -> bool:
        """Report whether the pod fits a size."""
        memory = size.memory_mib * MIB
        return self.cpu.milli <= size.milli_cpu and self.memory_needed_bytes <= memory

    def require_size(self) -> Size:
        """Return the size.

        Raises:
            PodTooLargeError: No size fits.
        """
        if self.size is not None:
            return self.size
        raise PodTooLargeError(
            messages.TOO_LARGE,
            f"{self.needed}; the largest size is {TABLE[-1]}.",
        )

    def require_storage_gib(self) -> int:
        """Return the ephemeral storage to provision, in GiB.

        Raises:
            StorageTooLargeError: More is requested than may be.
        """
        if self.storage_gib is not None:
            return self.storage_gib
        raise StorageTooLargeError(
            "Your pod's ephemeral storage requirements exceed the max Fargate configuration",
            f"The pod requests {self.storage.whole / _GIB:.4g} GiB of ephemeral storage;"
            f" at most {MAX_STORAGE_REQUEST_GIB} GiB may be requested.",
        )


def arithmetic(spec: "PodSpec") -> Arithmetic:
    """Size a pod by Fargate's published rule.

    The greater of the sum of all containers and of any init container, for each resource; plus
    the reserve; then the least CPU, and with it the least memory, that holds both.

    Raises:
        QuantityError: A request is not a quantity.
    """
    cpu, memory = requests_of(spec, "cpu"), requests_of(spec, "memory")
    storage = requests_of(spec, "ephemeral-storage")
    return Arithmetic(
        cpu=cpu,
        memory=memory,
        storage=storage,
        size=smallest(cpu.milli, memory.whole + RESERVED_MEMORY_MIB * MIB),
        storage_gib=_storage_gib(storage.whole),
    )


def size_of(spec: "PodSpec") -> Size:
    """Return the size of a pod's machine.

    Raises:
        PodTooLargeError: No size fits.
        QuantityError: A request is not a quantity.
    """
    return arithmetic(spec).require_size()


def storage_gib_of(spec: "PodSpec") -> int:
    """Return the ephemeral storage of a pod's machine, in GiB.

    Raises:
        StorageTooLargeError: More is requested than may be.
        QuantityError: A request is not a quantity.
    """
    return arithmetic(spec).require_storage_gib()


def _storage_gib(requested_bytes: int) -> int | None:
    """Add the platform's reserve, rounded up to whole GiB: 50 GiB become 60, 100 GiB become 115.

    Source: AWS containers blog, "Amazon EKS Fargate adds support for larger ephemeral volumes".
    """
    if requested_bytes > MAX_STORAGE_REQUEST_GIB * _GIB:
        return None
    grown = -(-requested_bytes * (100 + STORAGE_RESERVE_PERCENT) // (100 * _GIB))
    return max(DEFAULT_STORAGE_GIB, grown + STORAGE_RESERVE_GIB)
