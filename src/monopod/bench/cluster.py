"""What the benchmark has to be told about the cluster it runs against."""

from dataclasses import dataclass
from pathlib import Path

from monopod.network.plan import Plan


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster of this host."""

    home: Path
    """Its ``MONOPOD_HOME``."""
    plan: Plan
    kubeconfig: Path
    """Of an administrator."""
    signing_kubeconfig: Path
    """Of the user that has machines' certificates made."""
    ca_certificate: Path
    """Of the authority that the API server's certificate is from."""
    programs: Path
    """Directory of the component programs."""
    pause_source: Path
    """Upstream's ``pause.c``, of which the image that pods run is made."""
    root_image: Path
    """The root file system that machines share."""
    registry: str
    """URL of its registry, as pods' images name it."""
    push_socket: Path
    """Where the registry takes images."""

    @property
    def machines(self) -> Path:
        """Holds a directory for each machine."""
        return self.home / "machines"
