"""The cluster as an OpenID Connect provider: who verifies its service accounts' tokens, and how.

Whoever trusts the cluster - an STS, a vault - fetches the provider's description and keys without a
credential, as on EKS. The API server serves both itself, at the URL that the tokens name; to
everything else nobody is anonymous.
"""

from typing import Any, Final

DESCRIPTION: Final = "/.well-known/openid-configuration"
KEYS: Final = "/openid/v1/jwks"


def authentication() -> dict[str, Any]:
    """Return the API server's configuration of who may come without a credential, and where."""
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {
            "enabled": True,
            "conditions": [{"path": DESCRIPTION}, {"path": KEYS}],
        },
    }
