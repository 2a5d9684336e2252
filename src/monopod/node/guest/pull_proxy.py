"""Configures a guest's containerd to pull by the host's pull proxy.

The passwords of registries stay on the host; the guest has a token, which is of use to its machine
alone and only as long as the machine exists.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from monopod.identity.pull_grant import matches_registry, registry_server

_ANY: Final = "_default"
"""Directory of registries that have no directory of their own, for containerd."""


@dataclass(frozen=True, slots=True)
class PullProxy:
    """The pull proxy, as one machine uses it."""

    endpoint: str
    """``address:port``."""
    ca_certificate: bytes
    """PEM of the authority that signed its certificate."""
    token: str = field(repr=False)
    registries: tuple[str, ...]
    """``host`` or ``host:port``, each with or without ``*``, for which it has credentials."""


def pull_proxy_files(
    proxy: PullProxy, authorities: Collection[str], directory: PurePosixPath
) -> dict[str, bytes]:
    """Return containerd's files by path below its directory of registries.

    What the proxy does not pull, containerd pulls directly, as without a proxy.

    Args:
        proxy: The pull proxy.
        authorities: Registries whose private authority is at ``<registry>/ca.crt``.
        directory: The directory of registries in the guest.
    """
    patterns = [each for each in proxy.registries if "*" in each]
    named = {each for each in proxy.registries if "*" not in each}
    # containerd does not look in its default directory for a registry that has its own.
    named |= {
        each for each in authorities if any(matches_registry(pattern, each) for pattern in patterns)
    }
    authority = f"{proxy.endpoint}/ca.crt"
    files = {authority: proxy.ca_certificate}
    for registry in sorted(named):
        direct = {"server": f"https://{registry_server(registry)}"}
        if registry in authorities:
            direct["ca"] = str(directory / registry / "ca.crt")
        files[f"{registry}/hosts.toml"] = _hosts(proxy, str(directory / authority), direct)
    if patterns:
        files[f"{_ANY}/hosts.toml"] = _hosts(proxy, str(directory / authority), {})
    return files


def _hosts(proxy: PullProxy, authority: str, direct: Mapping[str, str]) -> bytes:
    """Render a hosts.toml: the proxy first, then the registry itself."""
    host = f'host."https://{proxy.endpoint}"'
    lines = [
        *(f'{key} = "{value}"' for key, value in direct.items()),
        f"[{host}]",
        'capabilities = ["pull", "resolve"]',
        f'ca = "{authority}"',
        f"[{host}.header]",
        f'Authorization = "Bearer {proxy.token}"',
        "",
    ]
    return "\n".join(lines).encode()
