"""Settings of the patch controller: environment variables ``MONOPOD_PATCH_*``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PatchSettings(BaseSettings):
    """Timeouts in seconds, the sink of notices, and the metrics port."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_PATCH_", frozen=True)

    on_new_image: bool = False
    """Whether a new guest image starts a campaign for the pods whose machines run another."""
    image: Path | None = None
    """Directory of the guest image that new machines run."""
    sink_url: str | None = Field(default=None, pattern=r"^https?://[^\s/]+\S*$")
    """URL that notices are sent to, as CloudEvents; None means nowhere."""
    sink_token_file: Path | None = None
    """File with the bearer token for the sink."""
    sink_timeout_s: float = Field(default=10.0, gt=0)
    """Limit for one delivery of a notice."""
    refusal_timeout_s: float = Field(default=60.0, ge=0)
    """How long an eviction is retried that a disruption budget refuses, before it has failed."""
    replacement_timeout_s: float = Field(default=600.0, gt=0)
    """How long an evicted pod's replacement is waited for before the next pod is evicted."""
    metrics_port: int = Field(default=9478, ge=0, lt=65536)
    """On 127.0.0.1, for Prometheus; 0 picks a free port."""

    @property
    def image_version(self) -> str:
        """The version of the guest image, the name of its directory; empty without an image."""
        return self.image.name if self.image is not None else ""
