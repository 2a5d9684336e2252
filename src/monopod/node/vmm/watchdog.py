"""Notices a guest that runs and does nothing any more.

A guest's kernel reports its memory to QEMU every few seconds. One whose interrupts are off, whose
processors spin, or whose QEMU stands still, stops doing so.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from monopod.node.vmm.qmp import Monitor, QmpError, talk

_BALLOON: Final = "/machine/peripheral/balloon"
_ANSWER_S: Final = 10


class _Answer(msgspec.Struct):
    stats: dict[str, int]
    updated: int = msgspec.field(name="last-update")


@dataclass(frozen=True, slots=True)
class WatchdogTimeouts:
    """How a guest is watched; all in seconds."""

    every_s: float = 15
    """Between two looks. The guest is asked for statistics as often."""
    silent_s: float = 180
    """Without a sign of life, a guest counts as hung. Generous: boots without hardware
    virtualisation on a full host take long, and what is ended by mistake is a person's pod."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a guest's kernel said of its memory, in bytes; nothing of it is certain."""

    updated: int
    """When, in seconds of QEMU's clock; 0 if never."""
    total: int
    available: int


async def statistics(monitor: Path) -> Statistics:
    """Ask for a guest's latest statistics.

    Raises:
        QmpError: No sensible answer.
    """
    async with talk(monitor, _ANSWER_S) as conversation:
        return await _read(conversation)


async def wait_until_hung(monitor: Path, patience: WatchdogTimeouts) -> str:
    """Return, with what to tell people, when a guest has been silent for too long."""
    loop = asyncio.get_running_loop()
    seen, since, why = -1, loop.time(), "its kernel stands still"
    while loop.time() - since < patience.silent_s:
        try:
            updated = await _look(monitor, patience)
        except QmpError as error:
            why = str(error)
        else:
            why = "its kernel stands still"
            if updated != seen:
                seen, since = updated, loop.time()
        await asyncio.sleep(patience.every_s)
    return f"the guest gave no sign of life for {patience.silent_s:g} s: {why}"


async def _look(monitor: Path, patience: WatchdogTimeouts) -> int:
    async with talk(monitor, _ANSWER_S) as conversation:
        updated = (await _read(conversation)).updated
        await conversation.ask(
            "qom-set",
            path=_BALLOON,
            property="guest-stats-polling-interval",
            value=max(1, int(patience.every_s) // 2),
        )
        return updated


async def _read(conversation: Monitor) -> Statistics:
    answer = await conversation.ask("qom-get", path=_BALLOON, property="guest-stats")
    try:
        known = msgspec.json.decode(answer, type=_Answer)
    except msgspec.DecodeError as error:
        raise QmpError(f"the monitor's statistics are none: {error}") from error
    return Statistics(
        known.updated,
        known.stats.get("stat-total-memory", 0),
        known.stats.get("stat-available-memory", 0),
    )
