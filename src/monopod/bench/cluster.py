"""What the benchmark needs to know about the cluster it measures."""

from dataclasses import dataclass
from pathlib import Path

from monopod.node.net.cluster_network import ClusterNetwork


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster of this host."""

    home: Path
    """The cluster's ``MONOPOD_HOME``."""
    plan: ClusterNetwork
    kubeconfig: Path
    """Kubeconfig of an administrator."""
    signing_kubeconfig: Path
    """Kubeconfig of the user that requests machines' certificates."""
    ca_certificate: Path
    """Certificate of the CA that signed the API server's certificate."""
    programs: Path
    """Directory of the component programs."""
    pause_source: Path
    """Upstream's ``pause.c``, from which the pods' image is built."""
    root_image: Path
    """The root file system that machines share read-only."""
    registry: str
    """URL of the cluster's registry, as pods' images name it."""
    push_socket: Path
    """Unix socket on which the registry accepts pushes."""

    @property
    def machines(self) -> Path:
        """Directory with one subdirectory for each machine."""
        return self.home / "machines"
