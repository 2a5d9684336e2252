"""Reads how a registry wants to be authenticated to: ``WWW-Authenticate``. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_SCHEME: Final = re.compile(r"\s*(Basic|Bearer)(?:\s+|$)(.*)", re.IGNORECASE | re.DOTALL)
_PARAMETER: Final = re.compile(r'\s*([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*,?')


@dataclass(frozen=True, slots=True)
class Challenge:
    """The way of authentication that is used with a registry."""

    realm: str = ""
    """URL of the token service; empty for Basic authentication."""
    service: str = ""


def read_challenge(headers: Iterable[str]) -> Challenge | None:
    """Return the first challenge that can be met; None if there is none.

    The scope that a registry asks for is ignored: the proxy asks for pulls of one repository.

    Args:
        headers: The values of ``WWW-Authenticate``, with one challenge each.
    """
    for header in headers:
        found = _SCHEME.match(header)
        if found is None:
            continue
        if found[1].lower() == "basic":
            return Challenge()
        values = {
            name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(found[2])
        }
        if values.get("realm"):
            return Challenge(values["realm"], values.get("service", ""))
    return None
