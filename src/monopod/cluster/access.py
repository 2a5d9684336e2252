"""The way to a running cluster for this host's administrator, without asking it anything."""

from dataclasses import dataclass
from pathlib import Path

from monopod.cluster import state
from monopod.cluster.layout import Layout
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


def _cluster(settings: Settings) -> tuple[Layout, state.State]:
    known = state.require(settings.home)
    return Layout.of(settings, known.transit), known
