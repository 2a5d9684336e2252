"""Fargate's table of sizes (source: EKS user guide, "Understand Fargate Pod configuration")."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from monopod.api.resources import MicroVMSpec

MIB: Final = 1 << 20
_GB: Final = 1024
"""MiB in one GB of the table; every published example agrees."""


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """CPU and memory: of a machine, where it is a row of the table, or of a host."""

    milli_cpu: int
    """Thousandths of a vCPU."""
    memory_mib: int

    @classmethod
    def of(cls, machine: "MicroVMSpec") -> "Size":
        """Return the provisioned size of a machine."""
        return cls(machine.milliCPU, machine.memoryMiB)

    def __str__(self) -> str:
        return f"{self.milli_cpu / 1000:g} vCPU {self.memory_mib / _GB:g} GB"


def _row(milli_cpu: int, memory_gb: range) -> tuple[Size, ...]:
    return tuple(Size(milli_cpu, gb * _GB) for gb in memory_gb)


TABLE: Final = (
    Size(250, _GB // 2),
    *_row(250, range(1, 3)),
    *_row(500, range(1, 5)),
    *_row(1000, range(2, 9)),
    *_row(2000, range(4, 17)),
    *_row(4000, range(8, 31)),
    *_row(8000, range(16, 61, 4)),
    *_row(16000, range(32, 121, 8)),
)
"""All 74 sizes, in the order in which they are tried."""


def smallest(milli_cpu: int, memory_bytes: int) -> Size | None:
    """Return the smallest size that fits: least CPU first, then least memory."""
    for size in TABLE:
        if size.milli_cpu >= milli_cpu and size.memory_mib * MIB >= memory_bytes:
            return size
    return None


def provisioned_annotation(size: Size) -> str:
    """Return the value of a pod's ``CapacityProvisioned`` annotation, as ``0.25vCPU 0.5GB``."""
    return f"{size.milli_cpu / 1000:g}vCPU {size.memory_mib / _GB:g}GB"


def instance_type(size: Size) -> str:
    """Return the value of a node's instance-type label, as ``fargate-0.25vcpu-0.5gb``.

    AWS Fargate nodes have no such label; here the size takes the place of an instance type.
    """
    return f"fargate-{size.milli_cpu / 1000:g}vcpu-{size.memory_mib / _GB:g}gb"
