"""Configuration of monopod-loadbalancer: the environment variables ``MONOPOD_LOADBALANCER_*``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LoadBalancerSettings(BaseSettings):
    """HAProxy's paths, and the port of the controller's metrics."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_LOADBALANCER_", frozen=True)

    transit: int = Field(ge=0, lt=256)
    """The number of the cluster's transit network, which holds the load balancers' addresses."""
    base: Path
    """The static part of HAProxy's configuration."""
    configuration: Path
    """The directory of the rest of HAProxy's configuration."""
    socket: Path
    """The runtime socket of HAProxy's master process."""
    per_namespace: int = Field(default=16, ge=1)
    """Load balancers of one scheme that a namespace has at most. Each scheme has 62 addresses."""
    metrics_port: int = Field(default=9474, ge=0, lt=65536)
    """On 127.0.0.1, for Prometheus; 0 means any free port."""
