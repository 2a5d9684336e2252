"""The API server's configuration of the token webhook."""

from pathlib import PurePath
from typing import Any, Final

from monopod.identity.kubeconfig import kubeconfig

PORT: Final = 23446
"""On 127.0.0.1; next to the webhooks'."""
PATH: Final = "/token-review"


def authenticator(authority: str, port: int = PORT) -> dict[str, Any]:
    """Return the webhook's configuration, in the form of a kubeconfig.

    Args:
        authority: Path of the PEM that verifies our certificate.
        port: The port that we listen on.
    """
    server = f"https://127.0.0.1:{port}{PATH}"
    return kubeconfig(server, PurePath(authority), "kube-apiserver")
