"""Configuration of the balancers' keeper: the environment variables ``MONOPOD_BALANCING_*``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class BalancingSettings(BaseSettings):
    """Where HAProxy is told what, and where the keeper is looked at."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_BALANCING_", frozen=True)

    transit: int = Field(ge=0, lt=256)
    """The number of the cluster's transit network, which holds the load balancers' addresses."""
    base: Path
    """The part of HAProxy's configuration that never changes."""
    configuration: Path
    """The directory that HAProxy reads the rest from."""
    socket: Path
    """Where HAProxy's master process takes orders."""
    metrics_port: int = Field(default=9474, ge=0, lt=65536)
    """On 127.0.0.1, for Prometheus; 0 takes any that is free."""
