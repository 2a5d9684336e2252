"""Settings of the MicroVM controllers: environment variables ``MONOPOD_MICROVM_*``."""

from ipaddress import IPv4Address
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MicroVMSettings(BaseSettings):
    """Timeouts and intervals in seconds, the guest image and the metrics port."""

    model_config = SettingsConfigDict(
        env_prefix="MONOPOD_MICROVM_", frozen=True, env_ignore_empty=True
    )

    image: Path | None = None
    """Directory of the guest image that new machines run."""
    launch_timeout_s: float = 60.0
    """Limit for creating a machine's disks and link and starting its VMM, before a retry."""
    registration_timeout_s: float = 120.0
    """Limit from the launch to a ready node, before the machine is terminated."""
    placement_timeout_s: float = Field(default=300.0, gt=0)
    """How long a machine's launcher pod may have no address before the machine is deleted, so that
    the scheduler can choose another subnet."""
    unready_timeout_s: float = 60.0
    """How long a node that was ready may be unready before its machine is terminated."""
    silent_timeout_s: float = Field(default=40.0, gt=0)
    """How long the kubelet of a node that was ready may not renew its Lease, which it does every
    10 s, before its machine is terminated."""
    attempts: int = 4
    """Failed launches of one MicroVM before it is abandoned."""
    driver_retry_s: float = Field(default=30.0, gt=0)
    """Interval between launches of a machine for which this host has no driver."""
    certificate_lifetime_s: int = Field(default=24 * 3600, ge=600)
    """Lifetime of kubelets' first certificates, which they renew; signers' minimum is 600 s."""
    collect_every_s: float = 60.0
    """Interval of garbage collection."""
    api_server: str = ""
    """URL of the API server for machines in launcher pods; empty means the Service's address."""
    cluster_dns: IPv4Address | None = None
    """Address of the cluster's DNS for machines in launcher pods; None means that of the Service
    ``kube-system/kube-dns``."""
    cluster_domain: str = "cluster.local"
    """Domain of the cluster's Services, for machines in launcher pods."""
    metrics_port: int = Field(default=9472, gt=0, lt=65536)
    """On 127.0.0.1, for Prometheus."""

    @property
    def image_version(self) -> str:
        """The version of the guest image, the name of its directory; empty without an image."""
        return self.image.name if self.image is not None else ""
