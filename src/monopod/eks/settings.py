"""Configuration of the EKS API's server: the environment variables ``MONOPOD_EKS_*``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.eks.registration import PORT
from monopod.network.plan import EKS_PORT


class EksSettings(BaseSettings):
    """Where the API is served, who serves it, and what it says of the cluster."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_EKS_", frozen=True)

    identity: Path | None = None
    """Directory of ``kubeconfig``, ``ca.crt``, ``serving.crt``, ``serving.key`` and
    ``access-keys.sealed``; ``identities/eks`` unless given."""
    address: str = "127.0.0.1"
    """Where it listens."""
    port: int = Field(default=EKS_PORT, ge=0, lt=65536)
    token_port: int = Field(default=PORT, ge=0, lt=65536)
    """On 127.0.0.1, where the API server asks about tokens."""
    metrics_port: int = Field(default=9475, gt=0, lt=65536)
    """On 127.0.0.1."""
    server: str
    """The API server's URL, as clients outside know it."""
    services: str
    """The range of services' addresses."""
