"""Configuration of the webhooks: the environment variables ``MONOPOD_WEBHOOKS_*``."""

import enum
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.webhooks.manifests import PORT


class Mode(enum.Enum):
    """What becomes of pods that Fargate does not run, and of workloads that would make them."""

    WARN = "warn"
    """They are created, as on AWS, with an admission warning."""
    ENFORCE = "enforce"
    """They are refused."""


class WebhookSettings(BaseSettings):
    """Where the webhooks are served, and who they are."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_WEBHOOKS_", frozen=True)

    identity: Path | None = None
    """Directory of ``kubeconfig``, ``serving.crt`` and ``serving.key``; ``identities/webhooks``
    unless given."""
    port: int = Field(default=PORT, ge=0, lt=65536)
    """On 127.0.0.1, where the API server calls."""
    mode: Mode = Mode.WARN
    """What becomes of pods that Fargate does not run, and of workloads that would make them."""
    one_profile_at_a_time: bool = False
    """As on AWS: no profile is created or deleted while another is on its way up or down."""
    tell_region: bool = False
    """Whether pods whose service account has a role get ``AWS_REGION`` and ``AWS_DEFAULT_REGION``
    too. Not on AWS: there, they stand in the pod's own specification."""
    metrics_port: int = Field(default=9470, gt=0, lt=65536)
    """On 127.0.0.1."""
