"""Kubeconfigs that reference certificate files instead of embedding them.

Clients reload the files when they change, so a renewed certificate needs no new kubeconfig.
"""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

import yaml

_NAME: Final = "monopod"


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """The paths of a client's certificate and key, in PEM; both may be in one file."""

    certificate: PurePath
    key: PurePath


def kubeconfig(
    server: str, authority: PurePath, user: str, files: ClientFiles | None = None
) -> dict[str, Any]:
    """Return a kubeconfig, to be written as YAML or JSON.

    Args:
        server: The API server's address, as a URL.
        authority: Path of the PEM that verifies the server's certificate.
        user: The user's name, shown by ``kubectl config``.
        files: The user's credentials; None means that it has none.
    """
    credentials = (
        {}
        if files is None
        else {"client-certificate": str(files.certificate), "client-key": str(files.key)}
    )
    cluster = {"server": server, "certificate-authority": str(authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": user}}],
        "current-context": _NAME,
    }


def render(server: str, user: str, directory: PurePath) -> str:
    """Return the YAML of the kubeconfig of a user whose files are in ``directory``.

    Args:
        server: The API server's address, as a URL.
        user: The user's name, shown by ``kubectl config``.
        directory: Where ``ca.crt``, ``client.crt`` and ``client.key`` are.
    """
    client = ClientFiles(directory / "client.crt", directory / "client.key")
    config = kubeconfig(server, directory / "ca.crt", user, client)
    return yaml.safe_dump(config, sort_keys=False)
