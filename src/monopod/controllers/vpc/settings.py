"""Settings of the VPC controllers: the environment variables ``MONOPOD_VPC_*``."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class VpcSettings(BaseSettings):
    """Settings of the process ``monopod-vpc``."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_VPC_", frozen=True)

    metrics_port: int = Field(default=9473, gt=0, lt=65536)
    """Port on 127.0.0.1 that serves Prometheus metrics."""
