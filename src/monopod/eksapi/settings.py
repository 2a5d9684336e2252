"""Configuration of the EKS API's server: the environment variables ``MONOPOD_EKSAPI_*``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.eksapi.registration import PORT
from monopod.node.net.cluster_network import EKS_PORT


class EksApiSettings(BaseSettings):
    """The server's addresses, its identity, and the facts it returns about the cluster."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_EKSAPI_", frozen=True)

    identity: Path | None = None
    """Directory of ``kubeconfig``, ``ca.crt``, ``serving.crt``, ``serving.key`` and
    ``access-keys.sealed``; None means ``identities/eksapi``."""
    address: str = "127.0.0.1"
    """The address it listens on."""
    port: int = Field(default=EKS_PORT, ge=0, lt=65536)
    token_port: int = Field(default=PORT, ge=0, lt=65536)
    """The token webhook's port on 127.0.0.1."""
    metrics_port: int = Field(default=9475, gt=0, lt=65536)
    """On 127.0.0.1."""
    server: str
    """The API server's URL for external clients."""
    services: str
    """The CIDR block of services."""
