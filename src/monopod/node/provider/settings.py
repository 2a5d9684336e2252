"""What may be configured about this host as a place for machines: ``MONOPOD_LOCAL_*``."""

import os
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.node.provider.driver_selection import QEMU_KVM, QEMU_TCG

_TABLES_PERCENT: Final = 3


class LocalSettings(BaseSettings):
    """How much of this host machines may have."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_LOCAL_", frozen=True)

    memory_ratio: float = Field(default=1.0, gt=0)
    """Memory promised to machines for each byte that this host has for them; more than one is a bet
    that they do not all use theirs."""
    cpu_ratio: float = Field(default=4.0, gt=0)
    """vCPUs promised to machines for each processor of this host; more than one is a bet, which
    costs time and not life when it is lost."""
    reserved_memory_mib: int = Field(default=1024, ge=0)
    """Memory that is not for machines: the control plane and the host itself."""
    uml_overhead_mib: int = Field(default=96, ge=0)
    """Memory that a machine of this driver takes of this host beyond what it was provisioned, and
    beyond a share of that for its kernel's and the host's tables."""
    qemu_tcg_overhead_mib: int = Field(default=352, ge=0)
    """Likewise; the code that it translates for the guest's processors is most of it."""
    qemu_kvm_overhead_mib: int = Field(default=160, ge=0)
    """Likewise."""
    boots_at_once: int = Field(default_factory=lambda: 4 * (os.cpu_count() or 1), ge=1)
    """How many machines may boot at the same time. Fewer leave cores idle while each waits for its
    disk and the API server; with more, each of them comes near its timeouts."""

    def overhead_mib(self, driver: str, memory_mib: int) -> int:
        """Return what a machine of a driver takes of this host beyond its own memory."""
        by_name = {QEMU_TCG: self.qemu_tcg_overhead_mib, QEMU_KVM: self.qemu_kvm_overhead_mib}
        return by_name.get(driver, self.uml_overhead_mib) + memory_mib * _TABLES_PERCENT // 100
