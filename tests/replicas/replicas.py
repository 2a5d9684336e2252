"""Supervises replicas of controllers, as s6 or Kubernetes would, and kills them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.framework.eventually import eventually


@dataclass
class Replica:
    """One replica, started again whenever it ends."""

    module: str
    log: Path
    environment: dict[str, str]
    process: asyncio.subprocess.Process | None = None
    ends: list[int] = field(default_factory=list[int])
    """Exit statuses; negative ones are signals."""
    _acquired: int = 0
    """How often processes that have ended acquired the Lease."""

    async def supervise(self) -> None:
        with self.log.open("ab") as log:
            while True:
                self.process = await asyncio.create_subprocess_exec(
                    *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", self.module),
                    stdout=log,
                    stderr=log,
                    env=self.environment,
                )
                try:
                    self._ended(await self.process.wait())
                except asyncio.CancelledError:
                    self.process.kill()
                    await self.process.wait()
                    raise

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def lines(self) -> list[dict[str, Any]]:
        """Return its log; a line that a kill cut off is left out."""
        lines: list[dict[str, Any]] = []
        for each in self.log.read_text().splitlines():
            try:
                lines.append(json.loads(each))
            except json.JSONDecodeError:
                continue
        return lines

    def count(self, event: str) -> int:
        return sum(line["event"] == event for line in self.lines())

    @property
    def leads(self) -> bool:
        """Whether the process that runs now has acquired its Lease."""
        return self.count("leader_election_acquired") > self._acquired

    def _ended(self, status: int) -> None:
        self.ends.append(status)
        self._acquired = self.count("leader_election_acquired")


async def leader(pair: Sequence[Replica]) -> Replica:
    """Wait until one of the replicas leads."""
    what = f"a replica of {pair[0].module} leads"

    def look() -> Replica | None:
        return next((each for each in pair if each.leads), None)

    return await eventually(look, what, 120, every_s=0.1)


@asynccontextmanager
async def running(
    directory: Path, home: Path, modules: dict[str, str], **environment: str
) -> AsyncGenerator[dict[str, list[Replica]]]:
    """Run two replicas of each controller.

    Args:
        directory: For their logs.
        home: Their ``MONOPOD_HOME``.
        modules: The module of each controller, by its name.
        environment: Further variables.
    """
    variables = {
        **os.environ,
        "MONOPOD_HOME": str(home),
        "MONOPOD_MAX_PROFILES": "10000",
        "MONOPOD_LEADER_ELECTION": "true",
        "MONOPOD_LEADER_ELECTION_LEASE_DURATION_S": "4",
        "MONOPOD_LEADER_ELECTION_RENEW_DEADLINE_S": "3",
        "MONOPOD_LEADER_ELECTION_RETRY_PERIOD_S": "0.5",
        **{f"MONOPOD_{name.upper()}_METRICS_PORT": "0" for name in modules if name != "microvm"},
        **environment,
    }
    replicas = {
        name: [Replica(module, directory / f"{name}-{number}", variables) for number in (0, 1)]
        for name, module in modules.items()
    }
    every = [each for pair in replicas.values() for each in pair]
    work = [asyncio.create_task(each.supervise()) for each in every]
    try:
        await eventually(
            lambda: all(each.log.exists() and each.count("ready") for each in every),
            "every replica is ready",
            240,
            every_s=0.2,
        )
        yield replicas
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
