"""Configuration from the environment variables ``MONOPOD_*``, validated once, at start.

Everything that depends on *where* an installation lives derives from :class:`Settings`, so two
installations with different homes share nothing but the build cache.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _lower(value: Any) -> Any:  # noqa: ANN401 - pydantic passes the raw value
    return value.lower() if isinstance(value, str) else value


LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
"""The least severe lines that a process logs; upper case is accepted."""


PodSecurityLevel = Annotated[Literal["privileged", "baseline"], BeforeValidator(_lower)]
"""A level of Kubernetes' Pod Security Standards."""


JITTER: Final = 1.2
"""Candidates for a Lease wait between one and 1 + JITTER retry periods, as client-go's do."""


class Settings(BaseSettings):
    """Where this installation lives and what it is called."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_", frozen=True)

    home: Path = Path("/var/lib/monopod")
    """All state of one cluster."""
    cache: Path = Field(default_factory=lambda: Path.home() / ".cache" / "monopod")
    """All build results; shared by every cluster of this host."""
    components: Path | None = None
    """A directory of prebuilt component binaries to use instead of building them."""
    cluster: str = Field(default="monopod", pattern=r"^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$")
    """The cluster's name, as the EKS API shows it."""
    account: str = Field(default="000000000000", pattern=r"^[0-9]{12}$")
    """The account in the ARNs of the EKS API."""
    region: str = Field(default="local-1", pattern=r"^[a-z]{2,}(-[a-z0-9]+)*-[0-9]+$")
    """The region in node names and topology labels."""
    unsupported_regions: frozenset[str] = frozenset({"us-gov-east-1", "us-gov-west-1"})
    """Regions without Fargate profiles; the default is AWS's: the US government's."""
    max_profiles: int = Field(default=10, gt=0)
    """The quota of Fargate profiles of this cluster; the default is AWS's, adjustable there too."""

    metrics_server: bool = True
    """Whether `monopod up` runs metrics-server, in a pod on Fargate."""
    pod_security_level: PodSecurityLevel = "baseline"
    """What pods outside profiles may do in namespaces without a label of their level."""
    log_level: LogLevel = "info"
    """Log level of Monopod's processes; upstream's processes have their own levels."""
    metrics_address: str = "127.0.0.1"
    """Address on which processes serve their metrics and whether they are ready."""
    provider: Literal["local", "kubernetes"] = "local"
    """Where machines run: as processes of this host, or in launcher pods of the cluster."""
    leader_election: bool = False
    """Whether controllers act only while they hold their Lease, so that they can have replicas."""
    leader_election_lease_duration_s: int = Field(default=15, gt=0)
    """How long the others wait after a leader's last renewal; kube-controller-manager's default."""
    leader_election_renew_deadline_s: float = Field(default=10.0, gt=0)
    """How long a leader that cannot renew its Lease acts."""
    leader_election_retry_period_s: float = Field(default=2.0, gt=0)
    """The interval between renewals."""

    @model_validator(mode="after")
    def _leaders_do_not_overlap(self) -> "Settings":
        duration, deadline, retry = (
            self.leader_election_lease_duration_s,
            self.leader_election_renew_deadline_s,
            self.leader_election_retry_period_s,
        )
        if not duration > deadline:
            raise ValueError(
                f"MONOPOD_LEADER_ELECTION_LEASE_DURATION_S ({duration}) must be greater than "
                f"MONOPOD_LEADER_ELECTION_RENEW_DEADLINE_S ({deadline:g})"
            )
        if not deadline > JITTER * retry:
            raise ValueError(
                f"MONOPOD_LEADER_ELECTION_RENEW_DEADLINE_S ({deadline:g}) must be greater than "
                f"{JITTER} times MONOPOD_LEADER_ELECTION_RETRY_PERIOD_S ({retry:g})"
            )
        return self

    @property
    def instance(self) -> str:
        """Six hexadecimal digits that distinguish this installation's host objects from another's.

        Network namespaces, cgroups and links are host-wide; their names carry it.
        """
        return hashlib.sha256(str(self.home.resolve()).encode()).hexdigest()[:6]

    @property
    def machines(self) -> Path:
        """One directory for each machine of this host."""
        return self.home / "machines"

    @property
    def pulls(self) -> Path:
        """What each machine may pull by the pull proxy, with the credentials for it."""
        return self.home / "pulls"

    @property
    def identities(self) -> Path:
        """Certificates, keys and kubeconfigs, one file each, readable only by their users."""
        return self.home / "identities"

    @property
    def logs(self) -> Path:
        """One directory of rotated logs for each component."""
        return self.home / "logs"

    @property
    def last_failure(self) -> Path:
        """The traceback of the last unexpected error of a command, with or without a cluster."""
        return self.logs / "last-failure"
