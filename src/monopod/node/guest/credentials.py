"""Passes registry credentials to a machine's kubelet, and to nothing else in the guest.

The kubelet gets them from a credential provider plug-in, which reads a file of the guest's root
(``files/usr/local/libexec/credentials``). They are in no container's environment, files or mounts,
and in no API object.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

DIRECTORY: Final = "credentials"
"""Directory on the configuration disk."""
PROVIDERS: Final = "/usr/local/libexec/credentials"
"""Directory of the plug-in in the guest image."""
_PROVIDER: Final = "execution-role"
_FOREVER: Final = "8760h"
"""The file does not change as long as the machine lives; a duration of 0 would mean no cache."""


@dataclass(frozen=True, slots=True)
class RegistryCredential:
    """Credentials for a registry."""

    pattern: str
    """Host, with an optional port and path; ``*`` matches one label of the host, as in the
    kubelet's ``matchImages``. The credentials are used for images whose names match."""
    username: str = field(repr=False)
    password: str = field(repr=False)


def credential_files(credentials: Sequence[RegistryCredential]) -> dict[str, bytes]:
    """Return the kubelet's files for these credentials by path; empty without credentials."""
    if not credentials:
        return {}
    patterns = [each.pattern for each in credentials]
    provider = {
        "name": _PROVIDER,
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "matchImages": patterns,
        "defaultCacheDuration": _FOREVER,
    }
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1",
        "kind": "CredentialProviderConfig",
        "providers": [provider],
    }
    answer = {
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Global",
        "cacheDuration": _FOREVER,
        "auth": {
            each.pattern: {"username": each.username, "password": each.password}
            for each in credentials
        },
    }
    return {
        f"{DIRECTORY}/providers.json": _json(configuration),
        f"{DIRECTORY}/answer.json": _json(answer),
    }


def kubelet_flags(config: str, credentials: Sequence[RegistryCredential]) -> tuple[str, ...]:
    """Return the kubelet's flags for the plug-in; ``config`` is the directory of the files."""
    if not credentials:
        return ()
    return (
        f"--image-credential-provider-config={config}/{DIRECTORY}/providers.json",
        f"--image-credential-provider-bin-dir={PROVIDERS}",
    )


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()
