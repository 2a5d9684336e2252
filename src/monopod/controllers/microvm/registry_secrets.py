"""Reads registry credentials from Secrets of type ``kubernetes.io/dockerconfigjson``.

No description of a fault contains any part of a credential.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
from lightkube.resources.core_v1 import Secret

from monopod.identity.pull_grant import RegistryCredential

KIND: Final = "kubernetes.io/dockerconfigjson"
_KEY: Final = ".dockerconfigjson"
_DOCKER_HUB: Final = "docker.io"
_HUB_NAMES: Final = frozenset({"index.docker.io", "registry-1.docker.io"})
_PATTERN: Final = re.compile(
    r"[A-Za-z0-9_*-]+(\.[A-Za-z0-9_*-]+)*(:[0-9]{1,5})?(/[a-z0-9._-]+(/[a-z0-9._-]+)*)?"
)
"""Image patterns that a kubelet accepts; it does not start with an invalid one."""
_PADDING: Final = "\0"
"""Some versions of Docker pad passwords with it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The credentials and the faults of a Secret."""

    credentials: tuple[RegistryCredential, ...] = ()
    faults: tuple[str, ...] = ()
    """Each a phrase to follow the Secret's name."""


class _Entry(msgspec.Struct):
    username: str = ""
    password: str = ""
    auth: str = ""


class _Config(msgspec.Struct):
    auths: dict[str, _Entry]


def read(secret: Secret) -> Contents:
    """Return the credentials of a Secret, and the faults of entries that cannot be used."""
    if secret.type != KIND:
        return Contents(faults=(f"is of type {secret.type}, not {KIND}",))
    try:
        content = base64.b64decode((secret.data or {}).get(_KEY, ""), validate=True)
        config = msgspec.json.decode(content, type=_Config)
    except (binascii.Error, msgspec.MsgspecError) as error:
        return Contents(faults=(f"has no {_KEY} that can be read: {error}",))
    credentials: list[RegistryCredential] = []
    faults: list[str] = []
    for registry, entry in config.auths.items():
        pattern, account = pattern_of(registry), _account(entry)
        if pattern is None:
            faults.append(f"names {registry!r}, which is no registry")
        elif account is None:
            faults.append(f"has no user name and password for {registry}")
        else:
            credentials.append(RegistryCredential(pattern, *account))
    return Contents(first_of_each(credentials), tuple(faults))


def first_of_each(credentials: Iterable[RegistryCredential]) -> tuple[RegistryCredential, ...]:
    """Return the credentials without those whose pattern an earlier one has."""
    by_pattern: dict[str, RegistryCredential] = {}
    for each in credentials:
        by_pattern.setdefault(each.pattern, each)
    return tuple(by_pattern.values())


def pattern_of(registry: str) -> str | None:
    """Return the image pattern of a registry, from its name as Docker writes it.

    None if a kubelet would not accept it. Docker Hub's old names all mean ``docker.io``.
    """
    name = registry.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, slash, path = name.partition("/")
    if path in ("v1", "v2"):
        slash = path = ""
    elif path.startswith(("v1/", "v2/")):
        path = path[3:]
    if host in _HUB_NAMES:
        host = _DOCKER_HUB
    pattern = f"{host}{slash}{path}"
    return pattern if _PATTERN.fullmatch(pattern) else None


def _account(entry: _Entry) -> tuple[str, str] | None:
    if entry.username and entry.password:
        return entry.username, entry.password
    unpadded = entry.auth.rstrip("=")
    try:
        pair = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True).decode()
    except ValueError:
        return None
    username, _, password = pair.partition(":")
    password = password.rstrip(_PADDING)
    return (username, password) if username and password else None
