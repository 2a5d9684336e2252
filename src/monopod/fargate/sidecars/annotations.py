"""Parses the annotations of DaemonSets."""

import re
from typing import Final

from monopod.errors import MonopodError

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_PAIR: Final = re.compile(rf"((?:[a-z0-9.-]{{1,253}}/)?{_NAME})={{1,2}}({_NAME})?")


class BadAnnotationError(MonopodError):
    """An annotation of a DaemonSet cannot be parsed."""


def parse_labels(annotation: str, text: str) -> dict[str, str]:
    """Parse labels such as ``app=web,tier=front``; an empty text has none.

    Raises:
        BadAnnotationError: It is something else.
    """
    found: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        pair = _PAIR.fullmatch(part)
        if pair is None:
            raise BadAnnotationError(
                f"annotation {annotation}: {part[:100]!r} is not a label such as app=web; for other"
                " selectors write the injection yourself"
            )
        found[pair[1]] = pair[2] or ""
    return found


def parse_names(text: str) -> list[str]:
    """Parse names separated by commas."""
    return list(dict.fromkeys(filter(None, (each.strip() for each in text.split(",")))))
