"""What may be configured about this host as a place for machines: ``MONOPOD_LOCAL_*``."""

import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LocalSettings(BaseSettings):
    """How much of this host machines may have."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_LOCAL_", frozen=True)

    memory_ratio: float = Field(default=1.0, gt=0)
    """Memory promised to machines for each byte that this host has for them; more than one is a bet
    that they do not all use theirs."""
    reserved_memory_mib: int = Field(default=1024, ge=0)
    """Memory that is not for machines: the control plane and the host itself."""
    machine_overhead_mib: int = Field(default=96, ge=0)
    """Memory that a machine takes of this host beyond what it was provisioned with."""
    boots_at_once: int = Field(default_factory=lambda: 4 * (os.cpu_count() or 1), ge=1)
    """How many machines may boot at the same time. Fewer leave cores idle while each waits for its
    disk and the API server; with more, each of them comes near its timeouts."""
