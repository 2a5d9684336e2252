"""Settings of the host's shutdown: environment variables ``MONOPOD_HOST_*``."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class HostSettings(BaseSettings):
    """How long pods have to end."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_HOST_", frozen=True)

    shutdown_s: float = Field(default=120.0, ge=0)
    """Limit for all pods to end with their grace periods; then machines are stopped."""
    shutdown_system_s: float = Field(default=20.0, ge=0)
    """The part of it that is left for pods of the system, which end last."""
