"""Settings of the process ``monopod-policies``: environment variables ``MONOPOD_POLICIES_*``."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PoliciesSettings(BaseSettings):
    """Settings of the process ``monopod-policies``."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_POLICIES_", frozen=True)

    metrics_port: int = Field(default=9484, gt=0, lt=65536)
    """Port on 127.0.0.1 that serves Prometheus metrics."""
