"""The way to a running cluster for this host's administrator, without asking it anything."""

from dataclasses import dataclass
from pathlib import Path

from monopod.cluster import state
from monopod.cluster.layout import Layout
from monopod.identity.access_key import FILE as KEYS_FILE
from monopod.identity.access_key import AccessKey, read_keys
from monopod.settings import Settings


@dataclass(frozen=True, slots=True)
class Administrator:
    """What kubectl needs."""

    kubeconfig: Path
    components: Path
    """Directory of upstream's programs, of the version that the cluster runs."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Where images are pushed to."""

    url: str
    """As guests know it."""
    socket: Path
    """Where this host reaches the instance that takes images; only root can open it."""


@dataclass(frozen=True, slots=True)
class Eks:
    """What AWS's clients need for the EKS API."""

    url: str
    authority: Path
    """PEM of what its certificate, and the API server's, are verified by."""
    region: str
    key: AccessKey
    """The administrator's."""


def administrator(settings: Settings) -> Administrator:
    """Return the administrator's credentials.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: What it left cannot be read.
    """
    layout, known = _cluster(settings)
    return Administrator(layout.admin_kubeconfig, Path(known.components))


def registry(settings: Settings) -> Registry:
    """Return the way to the registry.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: What it left cannot be read.
    """
    layout, _ = _cluster(settings)
    return Registry(f"http://{layout.registry}", layout.push_socket)


def eks(settings: Settings) -> Eks:
    """Return the way to the EKS API.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: What it left cannot be read.
        IdentityError: The administrator's access key cannot be read.
    """
    layout, _ = _cluster(settings)
    own = layout.identity("admin")
    keys = read_keys(own / KEYS_FILE)
    return Eks(layout.eks, own / "ca.crt", settings.region, next(iter(keys.values())))


def _cluster(settings: Settings) -> tuple[Layout, state.State]:
    known = state.require(settings.home)
    return Layout.of(settings, known.transit), known
