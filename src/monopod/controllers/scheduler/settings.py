"""Configuration of the scheduler: the environment variables ``MONOPOD_SCHEDULER_*``."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.util.architecture import host_architecture


class SchedulerSettings(BaseSettings):
    """How the scheduler works, and where it serves metrics."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_SCHEDULER_", frozen=True)

    architecture: str = Field(default_factory=host_architecture)
    """The nodes' CPU architecture, as in ``kubernetes.io/arch``."""
    csi_drivers: frozenset[str] = frozenset()
    """CSI drivers that machines have built in; volumes of other drivers are unsupported."""
    hardware_only: bool = False
    """Whether pods run under hardware virtualisation only."""
    metrics_port: int = Field(default=9471, ge=0, lt=65536)
    """On 127.0.0.1; 0 picks a free port."""
    workers: int = Field(default=16, gt=0)
    """Pods reconciled concurrently."""
    traces_url: str | None = Field(default=None, pattern=r"^https?://[^\s/]+\S*$")
    """URL of an OTLP/HTTP receiver of traces of pods' starts; None means no traces."""
    traces_timeout_s: float = Field(default=5.0, gt=0)
    """Limit in seconds for one attempt to deliver traces."""
    require_execution_roles: bool = False
    """Whether pods start only under profiles whose execution role is an ExecutionRole."""
