"""The host's CPU architecture."""

import platform
from typing import Final

_NAMES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def host_architecture() -> str:
    """Return this host's architecture by its name in Kubernetes and OCI images."""
    return _NAMES.get(platform.machine(), platform.machine())
