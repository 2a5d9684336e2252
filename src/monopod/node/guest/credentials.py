"""Registry credentials on their way to a machine's kubelet, and to nothing else in it.

The kubelet asks a plug-in for them, which answers from a file that only the guest's root can read
(``files/usr/local/libexec/credentials``). Containers find them nowhere: not in their environment,
files, mounts or API objects.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

DIRECTORY: Final = "credentials"
"""On the configuration disk."""
PROVIDERS: Final = "/usr/local/libexec/credentials"
"""Where the guest image holds the plug-in."""
_PROVIDER: Final = "execution-role"
_FOREVER: Final = "8760h"
"""The file does not change as long as the machine lives; a duration of 0 would mean no cache."""


@dataclass(frozen=True, slots=True)
class RegistryCredential:
    """Who to be at a registry."""

    pattern: str
    """Host, with a port and a path if need be; ``*`` stands for one part of the host's name, as
    the kubelet has it. Credentials are used for images whose names begin like this."""
    username: str = field(repr=False)
    password: str = field(repr=False)


def credential_files(credentials: Sequence[RegistryCredential]) -> dict[str, bytes]:
    """The files that give a kubelet these credentials, by their path; none for none."""
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
    """The kubelet's flags for the plug-in; ``config`` is where the disk's files are."""
    if not credentials:
        return ()
    return (
        f"--image-credential-provider-config={config}/{DIRECTORY}/providers.json",
        f"--image-credential-provider-bin-dir={PROVIDERS}",
    )


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()
