"""Scripts in execline, the language s6's own scripts are written in: no shell, no surprises."""

from collections.abc import Sequence
from typing import Final

_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote(word: str) -> str:
    r"""Return a word as execlineb reads it back, whatever is in it.

    Raises:
        ValueError: It holds a NUL, which no argument can.
    """
    if "\0" in word:
        raise ValueError("an argument cannot hold a NUL")
    return '"' + "".join(_ESCAPES.get(character, character) for character in word) + '"'


def script(*commands: Sequence[str], prepare: Sequence[Sequence[str]] = ()) -> str:
    """Return a script that becomes the given commands, chained; each replaces the one before.

    Args:
        commands: Each executes the next, as ``env`` and ``nsenter`` do.
        prepare: Commands that are run to their end, first.
    """
    lines = [f"foreground {{ {_line(command)} }}" for command in prepare]
    lines += [_line(command) for command in commands]
    return "#!/usr/bin/execlineb -P\n" + "\n".join(lines) + "\n"


def _line(command: Sequence[str]) -> str:
    return " ".join(quote(word) for word in command)
