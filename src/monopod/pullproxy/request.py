"""Reads a machine's request to the proxy. Pure.

Only what pulls need is understood: a manifest or a blob of one repository. Anything else is
refused here, before anything is called.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from monopod.errors import MonopodError
from monopod.identity.pull_grant import registry_server

BEARER: Final = "Bearer "
_METHODS: Final = ("GET", "HEAD")
_LONGEST_NAME: Final = 255
_NAME: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_DIGEST: Final = r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]{32,256}"
_MANIFEST: Final = re.compile(rf"/v2/({_NAME}(?:/{_NAME})*)/(manifests)/({_TAG}|{_DIGEST})")
_BLOB: Final = re.compile(rf"/v2/({_NAME}(?:/{_NAME})*)/(blobs)/({_DIGEST})")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_REGISTRY: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?")


class RefusedError(MonopodError):
    """A request is answered with an error of the distribution API."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Describe an answer.

        Args:
            status: The HTTP status code.
            code: The distribution API's error code, such as ``DENIED``.
            message: For users; it contains no credential.
        """
        super().__init__(message)
        self.status = status
        self.code = code


def denied(message: str) -> RefusedError:
    """Return the answer to what will not succeed; containerd shows its message to users."""
    return RefusedError(403, "DENIED", message)


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A manifest or blob of a repository."""

    registry: str
    """``host`` or ``host:port``, as image references name it."""
    repository: str
    kind: str
    """``manifests`` or ``blobs``."""
    reference: str
    """A tag or a digest."""

    @property
    def name(self) -> str:
        """The repository with its registry, as in image references."""
        return f"{self.registry}/{self.repository}"

    @property
    def url(self) -> str:
        """Its URL at the registry."""
        server = registry_server(self.registry)
        return f"https://{server}/v2/{self.repository}/{self.kind}/{self.reference}"


def read_request(method: str, path: str, query: Sequence[tuple[str, str]]) -> PullRequest:
    """Return what a request asks for.

    Args:
        method: The HTTP method.
        path: The path as it was sent: an escaped character makes it invalid.
        query: The parameters: ``ns``, with which containerd names the registry, and no other.

    Raises:
        RefusedError: It is no pull.
    """
    if method not in _METHODS:
        raise RefusedError(405, "UNSUPPORTED", "the pull proxy only pulls")
    found = _MANIFEST.fullmatch(path) or _BLOB.fullmatch(path)
    if found is None or len(found[1]) > _LONGEST_NAME:
        raise RefusedError(404, "UNSUPPORTED", "the pull proxy serves manifests and blobs only")
    names = [value for name, value in query if name == "ns"]
    if len(names) != 1 or len(query) != 1 or not _REGISTRY.fullmatch(names[0]):
        raise RefusedError(400, "NAME_INVALID", "the parameter ns must name a registry")
    return PullRequest(names[0], found[1], found[2], found[3])


def read_token(headers: Mapping[str, str]) -> str:
    """Return the machine's token, or an empty string without one."""
    value = headers.get("Authorization", "")
    return value.removeprefix(BEARER) if value.startswith(BEARER) else ""
