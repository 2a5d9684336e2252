"""The API server's configuration of the token webhook."""

from typing import Any, Final

PORT: Final = 23446
"""On 127.0.0.1; next to admission's."""
PATH: Final = "/token-review"


def authenticator(authority: str, port: int = PORT) -> dict[str, Any]:
    """Return the webhook's configuration, in the form of a kubeconfig.

    Args:
        authority: Path of the PEM that verifies our certificate.
        port: The port that we listen on.
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
