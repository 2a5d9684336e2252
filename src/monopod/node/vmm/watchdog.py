"""Detects a hung guest.

A guest's kernel reports its memory statistics to QEMU every few seconds. It stops doing so when its
interrupts are off, its processors spin or QEMU itself hangs.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from monopod.node.vmm.driver import MachineExit
from monopod.node.vmm.qmp import Monitor, QmpError, talk

GUEST_HUNG: Final = "GuestHung"
"""The reason of an end."""
_BALLOON: Final = "/machine/peripheral/balloon"
_ANSWER_S: Final = 10


class _Answer(msgspec.Struct):
    stats: dict[str, int]
    updated: int = msgspec.field(name="last-update")


@dataclass(frozen=True, slots=True)
class WatchdogTimeouts:
    """The watchdog's period and timeout in seconds."""

    every_s: float = 15
    """Period of the check; the guest's statistics are polled at least as often."""
    silent_s: float = 180
    """Time without new statistics after which a guest counts as hung. Generous: boots without
    hardware virtualisation on a full host take long, and a false alarm kills a user's pod."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """A guest kernel's memory statistics in bytes; untrusted."""

    updated: int
    """Time of the last update in seconds of QEMU's clock; 0 means never."""
    total: int
    available: int


async def statistics(monitor: Path) -> Statistics:
    """Read a guest's latest statistics.

    Raises:
        QmpError: The monitor gave no valid answer.
    """
    async with talk(monitor, _ANSWER_S) as conversation:
        return await _read(conversation)


async def ended_or_hung(
    name: str, end: Coroutine[Any, Any, MachineExit], monitor: Path, patience: WatchdogTimeouts
) -> MachineExit:
    """Wait until a machine ends, or until its guest hangs: then it still runs.

    Args:
        name: The machine.
        end: Waits for its end.
        monitor: The socket of its monitor.
        patience: Limits of the watchdog.
    """
    ended = asyncio.create_task(end)
    hung = asyncio.create_task(wait_until_hung(monitor, patience))
    try:
        await asyncio.wait((ended, hung), return_when=asyncio.FIRST_COMPLETED)
        return ended.result() if ended.done() else MachineExit(name, GUEST_HUNG, hung.result())
    finally:
        for task in (ended, hung):
            task.cancel()
        await asyncio.gather(ended, hung, return_exceptions=True)


async def wait_until_hung(monitor: Path, patience: WatchdogTimeouts) -> str:
    """Wait until a guest hangs; returns the reason for users."""
    loop = asyncio.get_running_loop()
    seen, since, why = -1, loop.time(), "its kernel hangs"
    while loop.time() - since < patience.silent_s:
        try:
            updated = await _look(monitor, patience)
        except QmpError as error:
            why = str(error)
        else:
            why = "its kernel hangs"
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
        raise QmpError(f"the monitor's statistics are invalid: {error}") from error
    return Statistics(
        known.updated,
        known.stats.get("stat-total-memory", 0),
        known.stats.get("stat-available-memory", 0),
    )
