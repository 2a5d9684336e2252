"""Configuration of the webhooks: the environment variables ``MONOPOD_ADMISSION_*``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.admission.manifests import PORT


class AdmissionSettings(BaseSettings):
    """Where the webhooks are served, and who they are."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_ADMISSION_", frozen=True)

    identity: Path | None = None
    """Directory of ``kubeconfig``, ``serving.crt`` and ``serving.key``; ``identities/admission``
    unless given."""
    port: int = Field(default=PORT, ge=0, lt=65536)
    """On 127.0.0.1, where the API server calls."""
    metrics_port: int = Field(default=9470, gt=0, lt=65536)
    """On 127.0.0.1."""
