"""Finds the host's Debian mirrors and the keyring that verifies them.

The guest's packages come from the same mirrors as the host's; only where the host has no archive of
security updates, Debian's own is used.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from monopod.node.guest.errors import ImageBuildError

_SECURITY: Final = "http://security.debian.org/debian-security"
_KEYRINGS: Final = Path("/usr/share/keyrings")
_ALL_KEYS: Final = "debian-archive-keyring.gpg"


def debian_sources(suite: str, etc_apt: Path = Path("/etc/apt")) -> tuple[str, ...]:
    """Return lines for apt: a suite, its updates and its security updates, with their keyring.

    Args:
        suite: Debian's name of a release.
        etc_apt: The host's configuration of apt, which names the mirrors.

    Raises:
        ImageBuildError: apt has no Debian archive, or the archive's keys are not installed.
    """
    texts = list(_sources(etc_apt))
    mirror = next(iter(mirrors(texts)), None)
    if mirror is None:
        raise ImageBuildError(f"apt on this host has no Debian archive: see {etc_apt}")
    security = next(iter(mirrors(texts, _is_security)), _SECURITY)
    keyring, security_keyring = _keyring(suite), _keyring(f"{suite}-security")
    return tuple(
        f"deb [arch=amd64 signed-by={keys}] {uri} {name} main"
        for keys, uri, name in (
            (keyring, mirror, suite),
            (keyring, mirror, f"{suite}-updates"),
            (security_keyring, security, f"{suite}-security"),
        )
    )


def _keyring(suite: str) -> Path:
    """Return the narrowest keyring with a suite's key."""
    for name in (f"debian-archive-{suite}-automatic.gpg", _ALL_KEYS):
        if (_KEYRINGS / name).exists():
            return _KEYRINGS / name
    raise ImageBuildError("Debian's archive keys are missing: install debian-archive-keyring")


def _sources(etc_apt: Path) -> Iterator[str]:
    files = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]
    for path in files:
        if path.is_file() and path.suffix in {".list", ".sources"}:
            yield path.read_text(errors="replace")


def _is_debian(uri: str, suite: str) -> bool:
    """Whether a URI is the main archive, not its security suite or another vendor's archive."""
    return uri.rstrip("/").endswith("/debian") and not suite.endswith(("-security", "/updates"))


def _is_security(uri: str, suite: str) -> bool:
    """Whether a URI is Debian's archive of security updates."""
    return uri.rstrip("/").endswith("/debian-security") and suite.endswith("-security")


def mirrors(
    sources: Iterable[str], wanted: Callable[[str, str], bool] = _is_debian
) -> Iterator[str]:
    """Yield the URIs of Debian archives in apt's source files, of both formats.

    Args:
        sources: The files' contents.
        wanted: Whether an archive with this URI and suite counts.
    """
    for text in sources:
        for line in text.splitlines():
            one_line = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)", line)
            if one_line and wanted(one_line[1], one_line[2]):
                yield one_line[1]
        for stanza in re.split(r"\n\s*\n", text):
            fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
            suites = fields.get("Suites", "").split()
            if "deb" not in fields.get("Types", "").split() or not suites:
                continue
            for uri in fields.get("URIs", "").split():
                if wanted(uri, suites[0]):
                    yield uri
