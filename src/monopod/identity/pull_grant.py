"""What a machine may pull by the pull proxy, as a file that only the proxy reads.

The MicroVM controller writes one for each machine whose execution role has registry credentials,
and removes it with the machine. The machine itself gets a token; the file has only its digest.
"""

import fnmatch
import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import msgspec

from monopod.identity.errors import IdentityError
from monopod.util.files import write_atomically

_SUFFIX: Final = ".json"
_MACHINE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TOKEN_BYTES: Final = 32
_HUB: Final = "docker.io"
_HUB_SERVER: Final = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class RegistryCredential:
    """Credentials for a registry."""

    pattern: str
    """Host, with an optional port and path; ``*`` matches a part of one label of the host, as in
    the kubelet's ``matchImages``."""
    username: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def registry(self) -> str:
        """The pattern of the registry's host and port, without a path."""
        return self.pattern.partition("/")[0]

    @property
    def path(self) -> str:
        """The path of the pattern: a repository or a directory of repositories; may be empty."""
        return self.pattern.partition("/")[2]

    def covers(self, registry: str, repository: str) -> bool:
        """Whether the credential is for a repository.

        A path is compared by whole parts: ``team`` covers ``team`` and ``team/web``, not ``teams``.
        """
        inside = not self.path or f"{repository}/".startswith(f"{self.path}/")
        return inside and matches_registry(self.registry, registry)


class PullGrant(msgspec.Struct, frozen=True):
    """The registries of one machine."""

    machine: str
    address: str
    """Its management address, from which its requests come."""
    role: str
    """Name of its ExecutionRole, for messages."""
    token_sha256: str
    """Hexadecimal."""
    credentials: tuple[RegistryCredential, ...]
    authorities: Mapping[str, str]
    """PEM of private registries' authorities by ``host`` or ``host:port``."""

    def admits(self, secret: str, address: str) -> bool:
        """Whether a request with this secret from this address is the machine's."""
        known = hmac.compare_digest(_digest(secret), self.token_sha256)
        return known and address == self.address

    def credential(self, registry: str, repository: str) -> RegistryCredential | None:
        """Return the credential for a repository: of several, that of the longest path.

        Of several with one path, that of the host with fewest wildcards; then the first.
        """
        covering = [each for each in self.credentials if each.covers(registry, repository)]
        return min(
            covering, key=lambda each: (-len(each.path), each.registry.count("*")), default=None
        )


def matches_registry(pattern: str, registry: str) -> bool:
    """Whether ``host`` or ``host:port`` matches a pattern of the same form.

    Each label is compared on its own, so ``*.example.com`` does not match ``a.b.example.com``.
    """
    host, _, port = registry.lower().partition(":")
    wanted, _, wanted_port = pattern.lower().partition(":")
    labels, parts = wanted.split("."), host.split(".")
    return (
        port == wanted_port
        and len(labels) == len(parts)
        and all(fnmatch.fnmatchcase(part, label) for part, label in zip(parts, labels, strict=True))
    )


def registry_server(registry: str) -> str:
    """Return the server of a registry: Docker Hub's has another name than image references have."""
    return _HUB_SERVER if registry == _HUB else registry


class PullGrants:
    """The directory of all machines' grants."""

    def __init__(self, directory: Path) -> None:
        """Describe a directory, which exists.

        Args:
            directory: Its files get the directory's group, which can read them.
        """
        self._directory = directory

    def write(
        self,
        machine: str,
        address: IPv4Address,
        role: str,
        credentials: Collection[RegistryCredential],
        authorities: Mapping[str, bytes],
    ) -> str:
        """Write a machine's grant in place of an earlier one; returns the token for the machine.

        Raises:
            IdentityError: The file cannot be written.
        """
        secret = secrets.token_urlsafe(_TOKEN_BYTES)
        grant = PullGrant(
            machine,
            str(address),
            role,
            _digest(secret),
            tuple(credentials),
            {registry: pem.decode() for registry, pem in authorities.items()},
        )
        try:
            owner = self._directory.stat().st_gid
            write_atomically(
                self._file(machine), msgspec.json.encode(grant), mode=0o400, owner=owner
            )
        except OSError as error:
            raise IdentityError(
                f"the pull grant of {machine} cannot be written: {error}"
            ) from error
        return f"{machine}.{secret}"

    def remove(self, machine: str) -> None:
        """Remove a machine's grant, if there is one; its token ends with it.

        Raises:
            IdentityError: The file cannot be removed.
        """
        try:
            self._file(machine).unlink(missing_ok=True)
        except OSError as error:
            raise IdentityError(
                f"the pull grant of {machine} cannot be removed: {error}"
            ) from error

    def machines(self) -> set[str]:
        """Return the names of machines with grants."""
        return {
            file.name.removesuffix(_SUFFIX)
            for file in self._directory.glob(f"*{_SUFFIX}")
            if not file.name.startswith(".")
        }

    def admitted(self, token: str, address: str) -> PullGrant | None:
        """Return the grant that a token is of, if it comes from its machine's address.

        The file is read each time, so a removed grant counts no more from the next request on.
        """
        machine, _, secret = token.partition(".")
        if not _MACHINE.fullmatch(machine):
            return None
        with suppress(OSError, msgspec.DecodeError):
            grant = msgspec.json.decode(self._file(machine).read_bytes(), type=PullGrant)
            return grant if grant.admits(secret, address) else None
        return None

    def _file(self, machine: str) -> Path:
        return self._directory / f"{machine}{_SUFFIX}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
