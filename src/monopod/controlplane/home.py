"""Guards a cluster's home directory: `monopod down` deletes only what a cluster made.

A marker file, written before anything else, distinguishes a cluster's home from any other
directory, and only entries of known names are removed.
"""

import shutil
from pathlib import Path
from typing import Final

import msgspec

from monopod.controlplane.errors import ClusterError
from monopod.settings import Settings
from monopod.util.files import write_atomically

_MARKER: Final = "monopod-home.json"
_STATE: Final = "cluster.json"
"""A home of a version without markers has it."""
_ENTRIES: Final = frozenset(
    (
        _STATE,
        "audit",
        "balancers",
        "bench.lock",
        "capacity.json",
        "configuration",
        "cordoned",
        "etcd",
        "gvisor",
        "identities",
        "logs",
        "machines",
        "machines.img",
        "patch",
        "pulls",
        "qemu",
        "qemu-kvm",
        "registry",
        "services",
        "uml",
    )
)


class _Marker(msgspec.Struct, frozen=True):
    instance: str
    """That of the settings; it derives from the path, so a copied directory has another."""


def claim(settings: Settings) -> Path:
    """Create the home directory, or verify that it is this cluster's, and return its path.

    Raises:
        ClusterError: The directory must not, or does not, belong to this cluster.
    """
    home = verify(settings)
    try:
        home.mkdir(mode=0o711, parents=True, exist_ok=True)
        home.chmod(0o711)
        marker = msgspec.json.encode(_Marker(settings.instance)) + b"\n"
        write_atomically(home / _MARKER, marker, mode=0o644)
    except OSError as error:
        raise ClusterError(f"{home} cannot be made a cluster's home: {error}") from error
    return home


def verify(settings: Settings) -> Path:
    """Return the path of the home directory, which is this cluster's or may become it.

    Raises:
        ClusterError: The directory must not, or does not, belong to this cluster.
    """
    home = settings.home.absolute()
    if home.is_symlink():
        raise ClusterError(
            f"MONOPOD_HOME={home} is a symbolic link: set it to its target, {home.resolve()}"
        )
    home = home.resolve()
    if home in (Path("/"), Path.home()) or home.is_mount():
        raise ClusterError(
            f"MONOPOD_HOME={home} cannot be a cluster's home: set it to a directory of the"
            f" cluster alone, such as {home / 'monopod'}"
        )
    found = _owner(home, settings.last_failure)
    if found is None:
        raise ClusterError(
            f"MONOPOD_HOME={home} contains files and is not a cluster's home: set it to an empty"
            " or a new directory"
        )
    if found not in ("", settings.instance):
        raise ClusterError(
            f"{home} is the home of cluster {found}, not of {settings.instance}: it was moved or"
            " copied; set MONOPOD_HOME to the path at which the cluster was started"
        )
    return home


def remove(home: Path) -> list[str]:
    """Remove a cluster's files, and the directory if nothing else is in it.

    Returns:
        The paths of entries that no cluster made; they are kept.

    Raises:
        ClusterError: A file cannot be removed.
    """
    if not home.exists():
        return []
    try:
        # The marker last: after a kill the rest can still be removed.
        for name in (*_ENTRIES, _MARKER):
            for entry in (home / name, *home.glob(f".{name}.*")):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink(missing_ok=True)
        kept = sorted(str(entry) for entry in home.iterdir())
        if not kept:
            home.rmdir()
    except OSError as error:
        raise ClusterError(f"{home} cannot be removed: {error}") from error
    return kept


def _owner(home: Path, last_failure: Path) -> str | None:
    """Return the instance that owns a directory: empty if none does yet, None if it is foreign.

    A command that failed before there was a cluster may have left its traceback.
    """
    try:
        entries = [entry.name for entry in home.iterdir()]
        if _MARKER in entries:
            return msgspec.json.decode((home / _MARKER).read_bytes(), type=_Marker).instance
    except FileNotFoundError:
        return ""
    except (OSError, msgspec.DecodeError) as error:
        raise ClusterError(f"{home / _MARKER} cannot be read: {error}") from error
    logs = last_failure.parent.name
    foreign = any(
        not entry.startswith(f".{_MARKER}.")
        and not (entry == logs and _has_only(home / logs, last_failure.name))
        for entry in entries
    )
    return None if foreign and _STATE not in entries else ""


def _has_only(directory: Path, name: str) -> bool:
    try:
        return all(entry.name == name for entry in directory.iterdir())
    except OSError:
        return False
