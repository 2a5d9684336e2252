"""Settings of this host's capacity for machines: ``MONOPOD_LOCAL_*``."""

import os
from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.api import keys

_TABLES_PERCENT: Final = 3


class LocalSettings(BaseSettings):
    """Limits on what machines may reserve of this host, and drivers' overheads."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_LOCAL_", frozen=True)

    memory_ratio: float = Field(default=1.0, gt=0)
    """Overcommit ratio of memory: above 1, machines are killed if all use their memory."""
    cpu_ratio: float = Field(default=4.0, gt=0)
    """Overcommit ratio of CPU: vCPUs per processor of this host. Above 1, machines are slower when
    all are busy, but not killed."""
    reserved_memory_mib: int = Field(default=1024, ge=0)
    """Memory reserved for the control plane and the host itself."""
    namespace_ratio: float = Field(default=1.0, gt=0, le=1)
    """The part of what machines may reserve, of CPU and of memory, that one namespace's may."""
    storage_ratio: float = Field(default=10.0, gt=0)
    """Overcommit ratio of storage: disks are sparse and few machines fill theirs. Above 1, machines
    get I/O errors if all do."""
    storage_gib: int = Field(default=0, ge=0)
    """Size in GiB of a file system of machines' disks alone, which `monopod up` makes in a file of
    the home. 0 means that they are on the home's own."""
    storage_floor_gib: int = Field(default=5, ge=0)
    """Free storage in GiB below which no machine is launched: etcd is on the same file system."""
    disk_mib_per_s: int = Field(default=0, ge=0)
    """Limit of a machine's reads and, counted apart, writes in MiB/s. 0 means none."""
    disk_iops: int = Field(default=0, ge=0)
    """Likewise of the number of reads and of writes per second."""
    uml_overhead_mib: int = Field(default=96, ge=0)
    """Memory of this host per machine of this driver beyond its provisioned memory, and beyond a
    percentage of that for page tables of its kernel and the host."""
    gvisor_overhead_mib: int = Field(default=96, ge=0)
    """Likewise."""
    qemu_tcg_overhead_mib: int = Field(default=352, ge=0)
    """Likewise; most of it is the cache of translated guest code."""
    qemu_kvm_overhead_mib: int = Field(default=160, ge=0)
    """Likewise."""
    boots_at_once: int = Field(default_factory=lambda: 4 * (os.cpu_count() or 1), ge=1)
    """Limit on concurrent boots. Fewer leave cores idle while machines wait for disk and API
    server; with more, each boot gets close to its timeouts."""

    halt_poll_ns: int = Field(default=200_000, ge=0, le=1_000_000)
    """How long an idle processor of a host that is a guest polls before it sleeps, at least. It is
    what ``haltpoll.guest_halt_poll_ns`` is raised to; 0 leaves it as it is."""

    tcg: bool = False
    """Whether a machine that no other default driver can run may run under ``qemu-tcg`` without a
    request for it: QEMU's documentation says that TCG is no isolation boundary."""
    kvm_kernel: Path | None = None
    """Guest kernel of ``qemu-kvm`` machines in place of Debian's: an ELF vmlinux or a bzImage."""

    def overhead_mib(self, driver: str, memory_mib: int) -> int:
        """Return the overhead of a machine in MiB, by driver and provisioned memory."""
        by_name = {
            keys.DRIVER_GVISOR: self.gvisor_overhead_mib,
            keys.DRIVER_TCG: self.qemu_tcg_overhead_mib,
            keys.DRIVER_KVM: self.qemu_kvm_overhead_mib,
        }
        return by_name.get(driver, self.uml_overhead_mib) + tables_mib(memory_mib)


def tables_mib(memory_mib: int) -> int:
    """Return the memory for page tables of a machine's memory, of its kernel and the host's."""
    return memory_mib * _TABLES_PERCENT // 100
