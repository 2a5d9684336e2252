"""Finds the host's Debian mirror and the keyring that verifies it.

The guest's packages come from the same mirror as the host's; no address is built in.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from monopod.node.guest.errors import ImageBuildError

_KEYRINGS: Final = (
    "/usr/share/keyrings/debian-archive-trixie-automatic.gpg",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
)


def debian_mirror(etc_apt: Path = Path("/etc/apt")) -> tuple[str, str]:
    """Return the archive that this host's apt uses for Debian, and its keyring.

    Raises:
        ImageBuildError: apt has no Debian archive, or the archive's keys are not installed.
    """
    mirror = next(iter(mirrors(_sources(etc_apt))), None)
    if mirror is None:
        raise ImageBuildError(f"apt on this host has no Debian archive: see {etc_apt}")
    keyring = next((path for path in _KEYRINGS if Path(path).exists()), None)
    if keyring is None:
        raise ImageBuildError("Debian's archive keys are missing: install debian-archive-keyring")
    return mirror, keyring


def _sources(etc_apt: Path) -> Iterator[str]:
    files = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]
    for path in files:
        if path.is_file() and path.suffix in {".list", ".sources"}:
            yield path.read_text(errors="replace")


def mirrors(sources: Iterable[str]) -> Iterator[str]:
    """Yield the URIs of full Debian archives in apt's source files, of both formats."""
    for text in sources:
        for line in text.splitlines():
            one_line = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)", line)
            if one_line and _is_debian(one_line[1], one_line[2]):
                yield one_line[1]
        for stanza in re.split(r"\n\s*\n", text):
            fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
            suites = fields.get("Suites", "").split()
            if "deb" not in fields.get("Types", "").split() or not suites:
                continue
            for uri in fields.get("URIs", "").split():
                if _is_debian(uri, suites[0]):
                    yield uri


def _is_debian(uri: str, suite: str) -> bool:
    """Whether a URI is the main archive, not its security suite or another vendor's archive."""
    return uri.rstrip("/").endswith("/debian") and not suite.endswith(("-security", "/updates"))
