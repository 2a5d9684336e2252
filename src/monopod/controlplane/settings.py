"""What the control plane's processes may take of the host: ``MONOPOD_CONTROLPLANE_*``."""

from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_LEAST_MIB: Final = 256
_LEAST_PROCESSES: Final = 128


class ControlPlaneSettings(BaseSettings):
    """Limits on each process of the control plane, by its role.

    They are far above what a process takes, so that only one which leaks or is attacked meets them:
    it is ended and started again, and its neighbours do not notice.
    """

    model_config = SettingsConfigDict(env_prefix="MONOPOD_CONTROLPLANE_", frozen=True)

    store_memory_mib: int = Field(default=6144, ge=_LEAST_MIB)
    """MiB of etcd, which maps its whole database, and of kube-apiserver, which caches it."""
    server_memory_mib: int = Field(default=3072, ge=_LEAST_MIB)
    """MiB of each server that guests, tenants or clients of load balancers reach."""
    controller_memory_mib: int = Field(default=2048, ge=_LEAST_MIB)
    """MiB of each of the others, which call the API server."""
    processes: int = Field(default=2048, ge=_LEAST_PROCESSES)
    """Processes and threads of each."""
