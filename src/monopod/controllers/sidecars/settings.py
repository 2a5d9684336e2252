"""Settings of the sidecar controllers: environment variables ``MONOPOD_SIDECARS_*``."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SidecarSettings(BaseSettings):
    """Intervals in seconds, and the metrics port."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_SIDECARS_", frozen=True)

    refresh_s: float = Field(default=30.0, gt=0)
    """How often ConfigMaps to copy are read again."""
    report_s: float = Field(default=2.0, ge=0)
    """Least time between two changes of an injection's numbers of pods."""
    metrics_port: int = Field(default=9483, ge=0, lt=65536)
    """On 127.0.0.1, for Prometheus; 0 picks a free port."""
