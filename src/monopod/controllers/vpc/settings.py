"""Settings of the network controllers: the environment variables ``MONOPOD_NETWORK_*``."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class NetworkSettings(BaseSettings):
    """Settings of the process ``monopod-network``."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_NETWORK_", frozen=True)

    metrics_port: int = Field(default=9473, gt=0, lt=65536)
    """Port on 127.0.0.1 that serves Prometheus metrics."""
