"""The cluster as an OpenID Connect provider for its service accounts' tokens.

A relying party - an STS, a vault - fetches the provider's description and keys without a
credential, as on EKS. The API server serves both itself, at the URL that the tokens name, and
allows anonymous requests to no other path.
"""

from typing import Any, Final

DESCRIPTION: Final = "/.well-known/openid-configuration"
KEYS: Final = "/openid/v1/jwks"


def authentication() -> dict[str, Any]:
    """Return the API server's authentication configuration: paths open to anonymous requests."""
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {
            "enabled": True,
            "conditions": [{"path": DESCRIPTION}, {"path": KEYS}],
        },
    }
