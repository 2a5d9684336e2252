"""Configuration of the webhooks: the environment variables ``MONOPOD_WEBHOOKS_*``."""

import enum
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.webhooks.manifests import PORT


class Mode(enum.Enum):
    """How pods and workloads are answered that Fargate does not run."""

    WARN = "warn"
    """They are created, as on AWS, with an admission warning."""
    ENFORCE = "enforce"
    """They are rejected."""


class WebhookSettings(BaseSettings):
    """The webhooks' address, identity and policies."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_WEBHOOKS_", frozen=True)

    identity: Path | None = None
    """Directory of ``kubeconfig``, ``serving.crt`` and ``serving.key``; None means
    ``identities/webhooks``."""
    address: str = "127.0.0.1"
    """Where the API server calls: the loopback that it shares, or all of a pod's addresses."""
    port: int = Field(default=PORT, ge=0, lt=65536)
    """Its port."""
    mode: Mode = Mode.WARN
    """How pods and workloads are answered that Fargate does not run."""
    one_profile_at_a_time: bool = False
    """As on AWS: no profile is created or deleted while another is being created or deleted."""
    inject_region: bool = False
    """Whether pods whose service account has a role also get ``AWS_REGION`` and
    ``AWS_DEFAULT_REGION``. AWS's webhook does not set them: pods specify them themselves."""
    metrics_port: int = Field(default=9470, gt=0, lt=65536)
    """On 127.0.0.1."""
