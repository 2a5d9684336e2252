"""What the API server is told of its authenticator, as data for whoever sets a cluster up."""

from typing import Any, Final

PORT: Final = 23446
"""On 127.0.0.1; next to admission's."""
PATH: Final = "/token-review"


def authenticator(authority: str, port: int = PORT) -> dict[str, Any]:
    """Return what the API server is configured with, in the form of a kubeconfig.

    Args:
        authority: Path of the PEM that our certificate is verified by.
        port: Where we listen.
    """
    server = f"https://127.0.0.1:{port}{PATH}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "eks", "cluster": {"server": server, "certificate-authority": authority}}
        ],
        "users": [{"name": "kube-apiserver", "user": {}}],
        "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "kube-apiserver"}}],
        "current-context": "eks",
    }
