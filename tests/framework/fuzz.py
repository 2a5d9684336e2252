"""How many malformed inputs a test sends, and how it spoils valid ones.

``MONOPOD_FUZZ_INPUTS=100000 pytest -s -k malformed`` is the long form; each test prints how long it
took and what the process grew by, as docs/reference/figures.md has it.
"""

import copy
import os
import random
import time
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


class Growth:
    """How much a process's memory has grown since the first tenth of the inputs.

    Caches and pools are full by then; what grows afterwards grows for ever.
    """

    def __init__(self, inputs: int, pid: int) -> None:
        self._inputs = inputs
        self._pid = pid
        self._started = time.monotonic()
        self._early = 0

    def sent(self, number: int) -> None:
        """Take note of the input with this number, which starts at 0."""
        if number == self._inputs // 10:
            self._early = resident_bytes(self._pid)

    def at_end(self, what: str) -> int:
        """Return the growth in bytes; print it with the time it took."""
        now = resident_bytes(self._pid)
        took_s = time.monotonic() - self._started
        print(
            f"\n{what}: {self._inputs} inputs in {took_s:.0f} s;"
            f" {self._early >> 20} MiB after a tenth, {now >> 20} MiB at the end"
        )
        return now - self._early
