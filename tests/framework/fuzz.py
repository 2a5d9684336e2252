"""How many malformed inputs a test sends, and how it spoils valid ones.

``MONOPOD_FUZZ_INPUTS=100000 pytest -k malformed`` is the long form; it takes an hour or more.
"""

import copy
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

STRANGE: Final[list[Any]] = [
    None,
    True,
    -1,
    2**70,
    1.5,
    "",
    "\x00",
    "é" * 300,
    "a" * 5000,
    "../../etc/passwd",
    "\n  server x 10.0.0.1:1\n",
    [],
    [[]],
    {},
    {"a": {}},
]


def inputs(short: int) -> int:
    """Return the number of inputs: the environment's, or that of the short form."""
    return int(os.environ.get("MONOPOD_FUZZ_INPUTS", short))


def chance() -> random.Random:
    """Return the same random numbers every time."""
    return random.Random(20261123)  # noqa: S311 - not for secrets


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything within a value."""
    entries: Any = ()
    if isinstance(value, dict):
        entries = value.items()  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
    elif isinstance(value, list):
        entries = enumerate(value)  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    for key, inner in entries:
        yield (*path, key)
        yield from places(inner, (*path, key))


def spoil(value: Any, luck: random.Random) -> Any:
    """Remove or replace some parts of a copy of a value."""
    made = msgspec.json.decode(msgspec.json.encode(value))
    for _ in range(luck.randint(1, 4)):
        found = list(places(made))
        if not found:
            break
        path = luck.choice(found)
        place = made
        for step in path[:-1]:
            place = place[step]
        if luck.random() < 0.3:
            del place[path[-1]]
        else:
            place[path[-1]] = copy.deepcopy(luck.choice(STRANGE))
    return made


def spoil_bytes(content: bytes, luck: random.Random) -> bytes:
    """Change, remove or cut off some bytes."""
    spoilt = bytearray(content)
    if spoilt and luck.random() < 0.3:
        for _ in range(luck.randint(1, 8)):
            spoilt[luck.randrange(len(spoilt))] = luck.randrange(256)
    if spoilt and luck.random() < 0.1:
        del spoilt[luck.randrange(len(spoilt)) :]
    return bytes(spoilt)


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
