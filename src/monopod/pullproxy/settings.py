"""Configuration of the pull proxy: the environment variables ``MONOPOD_PULLPROXY_*``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.node.net.cluster_network import PULL_METRICS_PORT, PULL_PORT


class PullProxySettings(BaseSettings):
    """The proxy's address, identity and limits."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_PULLPROXY_", frozen=True)

    identity: Path | None = None
    """Directory of ``serving.crt`` and ``serving.key``; None means ``identities/pullproxy``."""
    address: str = "127.0.0.1"
    """The address it listens on."""
    port: int = Field(default=PULL_PORT, ge=0, lt=65536)
    authorities: Path = Path("/etc/ssl/certs/ca-certificates.crt")
    """PEM of the public certificate authorities that it trusts, if the file exists."""
    requests: int = Field(default=16, gt=0)
    """Concurrent requests of one machine; those beyond are answered with 429."""
    stalled_s: float = Field(default=60.0, gt=0)
    """Limit in seconds without progress on either side, before a pull is cut off."""
    metrics_address: str = "127.0.0.1"
    """The address of the metrics, which the router opens to the metrics proxy alone."""
    metrics_port: int = Field(default=PULL_METRICS_PORT, gt=0, lt=65536)
