"""Paginates lists (no I/O).

A page's token holds the name after which the next page begins, so that concurrent changes neither
repeat nor skip names that exist throughout.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Final

from monopod.eksapi.errors import invalid_parameter

LARGEST: Final = 100
"""Names in a page, unless fewer are requested."""
_PREFIX: Final = b"after:"


def page(
    names: Iterable[str], largest: int | None, token: str | None
) -> tuple[list[str], str | None]:
    """Return a page of names and the token of the next; None means that it is the last.

    Args:
        names: All of them, in any order.
        largest: The requested page size.
        token: The token that the previous page returned.

    Raises:
        EksError: The size or the token is invalid.
    """
    size = LARGEST if largest is None else largest
    if not 1 <= size <= LARGEST:
        raise invalid_parameter(f"maxResults must be from 1 to {LARGEST}, not {size}.")
    after = _read(token) if token else ""
    rest = sorted(name for name in names if name > after)
    shown = rest[:size]
    return shown, _write(shown[-1]) if len(rest) > size else None


def _write(name: str) -> str:
    return base64.urlsafe_b64encode(_PREFIX + name.encode()).decode()


def _read(token: str) -> str:
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True)
        if text.startswith(_PREFIX):
            return text.removeprefix(_PREFIX).decode()
    except (binascii.Error, ValueError):
        pass
    raise invalid_parameter("nextToken is not one that an earlier page returned.")
