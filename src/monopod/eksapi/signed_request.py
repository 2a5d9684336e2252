"""A signed request exactly as received, and its parts in canonical form (no I/O)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A request exactly as received."""

    method: str
    path: str
    """Percent-encoded."""
    query: str = ""
    """Percent-encoded, without the question mark."""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    @property
    def headers_by_name(self) -> Mapping[str, str]:
        """Headers by lower-case name: values trimmed, inner blanks folded, repeats joined."""
        found: dict[str, list[str]] = {}
        for name, value in self.headers:
            found.setdefault(name.lower(), []).append(" ".join(value.split()))
        return {name: ",".join(values) for name, values in found.items()}

    @property
    def parameters(self) -> list[tuple[bytes, bytes]]:
        """Decoded parameters of the query.

        They are bytes so that different invalid UTF-8 sequences do not become equal.
        """
        pairs = (part.partition("=") for part in self.query.split("&") if part)
        return [
            (unquote_to_bytes(encoded(name)), unquote_to_bytes(encoded(value)))
            for name, _, value in pairs
        ]


def encoded(text: str) -> bytes:
    """Return the bytes of a part of a request; HTTP servers pass invalid UTF-8 as surrogates."""
    return text.encode(errors="surrogateescape")
