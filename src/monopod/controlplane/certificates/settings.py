"""Configuration of the renewer: the environment variables ``MONOPOD_CERTIFICATES_*``."""

import datetime as dt

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class CertificateSettings(BaseSettings):
    """How long certificates live, and the port of the renewer's metrics."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_CERTIFICATES_", frozen=True)

    lifetime_s: int = Field(default=365 * 24 * 3600, ge=1200)
    """Seconds that a certificate of the control plane is valid. Renewed after two thirds; clients
    of the API server read theirs every five minutes, which the last third has to exceed."""
    check_every_s: float = Field(default=600.0, gt=0, le=24 * 3600)
    """Seconds between two checks."""
    transit: int = Field(default=0, ge=0, lt=256)
    """The number of the cluster's transit network; ``monopod up`` sets it."""
    metrics_port: int = Field(default=9476, ge=0, lt=65536)
    """On 127.0.0.1, for Prometheus; 0 means any free port."""

    @property
    def lifetime(self) -> dt.timedelta:
        """Lifetime of a certificate."""
        return dt.timedelta(seconds=self.lifetime_s)
