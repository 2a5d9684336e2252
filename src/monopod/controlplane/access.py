"""Access to a running cluster for this host's administrator, read from files only."""

from dataclasses import dataclass
from pathlib import Path

from monopod.controlplane import state
from monopod.controlplane.layout import Layout
from monopod.identity.access_key import FILE as KEYS_FILE
from monopod.identity.access_key import AccessKey, read_keys
from monopod.settings import Settings


@dataclass(frozen=True, slots=True)
class Administrator:
    """What kubectl needs."""

    kubeconfig: Path
    components: Path
    """Directory of upstream's programs in the version that the cluster runs."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Where images are pushed to."""

    url: str
    """The URL that guests use."""
    socket: Path
    """The Unix socket of the instance that accepts pushes; only root can open it."""


@dataclass(frozen=True, slots=True)
class Eks:
    """What AWS's clients need to call the EKS API."""

    url: str
    authority: Path
    """PEM of the authority that verifies its certificate and the API server's."""
    region: str
    key: AccessKey
    """The administrator's."""


def administrator(settings: Settings) -> Administrator:
    """Return the administrator's credentials.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: Its state cannot be read.
    """
    layout, known = _cluster(settings)
    return Administrator(layout.admin_kubeconfig, Path(known.components))


def registry(settings: Settings) -> Registry:
    """Return the registry's URL and push socket.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: Its state cannot be read.
    """
    layout, _ = _cluster(settings)
    return Registry(f"http://{layout.registry}", layout.push_socket)


def eks(settings: Settings) -> Eks:
    """Return the EKS API's URL and the administrator's credentials for it.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: Its state cannot be read.
        IdentityError: The administrator's access key cannot be read.
    """
    layout, _ = _cluster(settings)
    own = layout.identity("admin")
    keys = read_keys(own / KEYS_FILE)
    return Eks(layout.eks, own / "ca.crt", settings.region, next(iter(keys.values())))


def _cluster(settings: Settings) -> tuple[Layout, state.State]:
    known = state.require(settings.home)
    return Layout.of(settings, known.transit), known
