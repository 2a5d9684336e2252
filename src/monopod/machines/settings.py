"""What may be configured about machines' lives: environment variables ``MONOPOD_MACHINES_*``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.machines.decision import Limits


class MachinesSettings(BaseSettings):
    """Timeouts in seconds, and what the process that launches machines must be told."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_MACHINES_", frozen=True)

    image: Path | None = None
    """Directory of the guest image that new machines run."""
    launch_timeout_s: float = 60.0
    """For making a machine's disks and link and starting its VMM; then it is tried again."""
    registration_timeout_s: float = 120.0
    """From there to a ready node; then the machine is given up."""
    unready_timeout_s: float = 60.0
    """How long a node may be unready once it was ready; then its machine is given up."""
    silent_timeout_s: float = Field(default=40.0, gt=0)
    """How long the kubelet of a node that was ready may not renew its Lease, which it does every
    10 s; then its machine is given up."""
    attempts: int = 4
    """Failed launches of one MicroVM before it is given up."""
    driver_retry_s: float = Field(default=30.0, gt=0)
    """How often a machine for which this host has no driver is tried."""
    certificate_lifetime_s: int = Field(default=24 * 3600, ge=600)
    """Of kubelets' first certificates, which they renew in time; signers give 600 at the least."""
    collect_every_s: float = 60.0
    """How often garbage is looked for."""
    metrics_port: int = Field(default=9472, gt=0, lt=65536)
    """On 127.0.0.1, for Prometheus."""

    @property
    def limits(self) -> Limits:
        """The part that decisions are made by."""
        return Limits(
            registration_s=self.registration_timeout_s,
            unready_s=self.unready_timeout_s,
            silent_s=self.silent_timeout_s,
            attempts=self.attempts,
            driver_s=self.driver_retry_s,
        )
