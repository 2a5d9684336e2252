"""Kubeconfigs that reference certificate files instead of embedding them.

Clients reload the files when they change, so a renewed certificate needs no new kubeconfig.
"""

from pathlib import Path
from typing import Final

import yaml

_NAME: Final = "monopod"


def render(server: str, user: str, directory: Path) -> str:
    """Return the kubeconfig of a user whose files are in ``directory``.

    Args:
        server: The API server's address, as a URL.
        user: The user's name, shown by ``kubectl config``.
        directory: Where ``ca.crt``, ``client.crt`` and ``client.key`` are.
    """
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": _NAME,
                    "cluster": {
                        "server": server,
                        "certificate-authority": str(directory / "ca.crt"),
                    },
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate": str(directory / "client.crt"),
                        "client-key": str(directory / "client.key"),
                    },
                }
            ],
            "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": user}}],
            "current-context": _NAME,
        },
        sort_keys=False,
    )
