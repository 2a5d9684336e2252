"""Machines that are directories of a host: they outlive the process that launched them.

A journal has every launch, and those that two processes began at once.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from monopod.fargate.sizing import Size
from monopod.node.provider import (
    Configure,
    DriverSelection,
    LaunchRequest,
    Levels,
    MachineExit,
    Presence,
)
from monopod.node.provider.on_this_host import OnThisHost
from monopod.util.files import write_atomically
from monopod.util.host_lock import HostLock

_CHOICE: Final = DriverSelection("simulated", False, "Simulated", "a directory")
_BOOT_S: Final = 0.05
_RUNNING: Final = "running"
_BY: Final = "launched-by-"
JOURNAL: Final = "journal"


class SimulatedProvider(OnThisHost):
    """A ``MachineProvider`` whose machines are directories."""

    boots_at_once = 100

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._host = HostLock(directory)

    async def start(self) -> None:
        await self._host.acquire()

    async def launch(self, wanted: LaunchRequest, configure: Configure) -> DriverSelection:
        machine = self._directory / wanted.name
        if (machine / _RUNNING).exists():
            return _CHOICE
        for other in machine.glob(f"{_BY}*"):
            pid = other.name.removeprefix(_BY)
            if pid != str(os.getpid()) and _lives(int(pid)):
                self._write(wanted.name, "two processes launch it", by=pid)
        shutil.rmtree(machine, ignore_errors=True)
        machine.mkdir()
        (machine / f"{_BY}{os.getpid()}").touch()
        await configure()
        await asyncio.sleep(_BOOT_S)
        addresses = [str(wanted.management_address), str(wanted.pod_address)]
        self._write(wanted.name, "launched", addresses=addresses)
        write_atomically(machine / _RUNNING, b"")
        return _CHOICE

    def chosen(self, name: str) -> DriverSelection | None:
        return _CHOICE if (self._directory / name).exists() else None

    async def console_tail(self, name: str) -> str:
        await asyncio.sleep(0)
        return name

    async def kubelet_started(self, name: str) -> datetime | None:
        del name
        await asyncio.sleep(0)
        return None

    def levels(self) -> Levels:
        return Levels(Size(1_000_000, 1_000_000), Size(0, 0), 1_000_000, 0, 1 << 50)

    async def end_boot_burst(self, name: str) -> None:
        del name
        await asyncio.sleep(0)

    async def resume_burst(self, name: str) -> None:
        del name
        await asyncio.sleep(0)

    async def terminate(self, name: str) -> None:
        await asyncio.sleep(0)
        if (self._directory / name).exists():
            self._write(name, "terminated")
        shutil.rmtree(self._directory / name, ignore_errors=True)

    async def present(self) -> Mapping[str, Presence]:
        await asyncio.sleep(0)
        return {
            each.name: Presence.RUNNING if (each / _RUNNING).exists() else Presence.REMAINS
            for each in self._directory.iterdir()
            if each.is_dir()
        }

    async def ended(self) -> AsyncIterator[MachineExit]:
        await asyncio.Event().wait()
        yield MachineExit("", "", "")

    async def uncordoned(self) -> AsyncIterator[None]:
        yield
        await asyncio.Event().wait()

    def _write(self, name: str, what: str, **fields: Any) -> None:
        line = json.dumps({"machine": name, "what": what, "pid": os.getpid(), **fields}) + "\n"
        with (self._directory / JOURNAL).open("a") as journal:
            journal.write(line)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
