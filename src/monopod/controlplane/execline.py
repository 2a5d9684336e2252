"""Renders scripts in execline, the language of s6's own scripts; no shell is involved."""

from collections.abc import Sequence
from typing import Final

_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote(word: str) -> str:
    r"""Return any word quoted for execlineb.

    Raises:
        ValueError: It contains a NUL, which no argument can.
    """
    if "\0" in word:
        raise ValueError("an argument cannot hold a NUL")
    return '"' + "".join(_ESCAPES.get(character, character) for character in word) + '"'


def script(
    *commands: Sequence[str],
    first: Sequence[Sequence[str]] = (),
    prepare: Sequence[Sequence[str]] = (),
) -> str:
    """Return a script that executes the given commands as a chain; each replaces the one before.

    Args:
        commands: Each executes the next, as ``env`` and ``nsenter`` do.
        first: The start of that chain.
        prepare: Commands that run to completion between it and the rest.
    """
    lines = [_line(command) for command in first]
    lines += [f"foreground {{ {_line(command)} }}" for command in prepare]
    lines += [_line(command) for command in commands]
    return "#!/usr/bin/execlineb -P\n" + "\n".join(lines) + "\n"


def _line(command: Sequence[str]) -> str:
    return " ".join(quote(word) for word in command)
