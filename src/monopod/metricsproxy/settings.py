"""Configuration of the metrics proxy: the environment variables ``MONOPOD_METRICSPROXY_*``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.node.net.cluster_network import METRICS_PORT


class MetricsProxySettings(BaseSettings):
    """The proxy's address, identity, targets and limits."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_METRICSPROXY_", frozen=True)

    identity: Path | None = None
    """Directory of its certificates and its kubeconfig; None means ``identities/metricsproxy``."""
    address: str = "127.0.0.1"
    """The address it listens on."""
    port: int = Field(default=METRICS_PORT, ge=0, lt=65536)
    targets: dict[str, str] = Field(default_factory=dict[str, str])
    """URLs of processes' metrics by the name of the process, in JSON."""
    requests: int = Field(default=32, gt=0)
    """Concurrent requests; those beyond are answered with 503."""
    timeout_s: float = Field(default=8.0, gt=0)
    """Limit in seconds for one answer of a process: less than Prometheus' 10."""
    metrics_port: int = Field(default=9479, gt=0, lt=65536)
    """On 127.0.0.1, for Prometheus."""
