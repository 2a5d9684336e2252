"""The drivers of this host, each with what stands against it.

One that this host cannot run is no failure: it is kept with its reason, and looked at again when
somebody wants it. Whatever may be said against a driver, the machines that run under it are handled
by it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from monopod.node.provider import (
    DriverSelection,
    DriverUnavailableError,
    ProviderError,
    SizeUnsupportedError,
)
from monopod.node.provider.driver_selection import Candidate, choose
from monopod.node.provider.report import DriverReport
from monopod.node.vmm.driver import Driver, VmmError


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about a driver that lacks nothing."""

    works: bool
    reason: str
    """What tells that it works, or why it does not all the same."""
    at: datetime
    """When it was found out, with its zone."""


Check = Callable[[], Awaitable[Finding]]
"""Finds out whether a prepared driver works; raises VmmError where that cannot be found out."""

_CHECK_AGAIN_S: Final = 20.0
_log: Final = structlog.get_logger("capacity")


class Drivers:
    """Every driver there is, by its name."""

    def __init__(
        self,
        drivers: Sequence[Driver],
        checks: Mapping[str, Check] | None = None,
        *,
        changed: Callable[["Drivers"], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the drivers; none of them can be used before ``prepare``.

        Args:
            drivers: All of them, of names that differ.
            checks: What more than its preparation a driver of this name has to pass.
            changed: Called when they were looked at.
            now: The time, for people.
            clock: Seconds from any fixed point.
        """
        self._drivers = {each.name: each for each in drivers}
        self._checks = dict(checks or {})
        self._standings = {
            each.name: DriverReport(_candidate(each, "it was not looked at yet"), "", now())
            for each in drivers
        }
        self._changed = changed
        self._now = now
        self._clock = clock
        self._checked = float("-inf")
        self._checking = asyncio.Lock()

    def __iter__(self) -> Iterator[Driver]:
        return iter(self._drivers.values())

    def __getitem__(self, name: str) -> Driver:
        return self._drivers[name]

    def named(self, name: str) -> Driver | None:
        """Return the driver of a name, usable or not; None if there is none."""
        return self._drivers.get(name)

    @property
    def standings(self) -> tuple[DriverReport, ...]:
        """What is known of each."""
        return tuple(self._standings.values())

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What each says of itself, as far as is known now."""
        return tuple(each.candidate for each in self.standings)

    async def prepare(self) -> None:
        """Look at every driver that cannot be used yet; what they lack is kept, not raised."""
        async with self._checking:
            lacking = [each for each in self if self._standings[each.name].candidate.unusable]
            # One after the other: some share the directory that they put their files in.
            for each in lacking:
                found = await self._look_at(each)
                driver = found.candidate
                if driver != self._standings[driver.name].candidate:
                    usable = not driver.unusable
                    _log.info("driver", driver=driver.name, usable=usable, why=driver.unusable)
                self._standings[driver.name] = found
            self._checked = self._clock()
        self._changed(self)

    async def choose(self, milli_cpu: int, insisted: str) -> DriverSelection:
        """Choose the driver for a machine; before a refusal, what it rests on is looked at anew.

        Raises:
            DriverUnavailableError: This host cannot run what is insisted on, or nothing at all.
            SizeUnsupportedError: It can, but none of it is large enough.
        """
        try:
            return choose(milli_cpu, insisted, self.candidates)
        except (DriverUnavailableError, SizeUnsupportedError):
            if self._clock() - self._checked < _CHECK_AGAIN_S:
                raise
        await self.prepare()
        return choose(milli_cpu, insisted, self.candidates)

    def require(self) -> None:
        """See that at least one can be used.

        Raises:
            ProviderError: None can; names what each of them lacks.
        """
        if all(each.unusable for each in self.candidates):
            lacks = "; ".join(f"{each.name}: {each.unusable}" for each in self.candidates)
            raise ProviderError(f"this host cannot run machines of any kind: {lacks}")

    async def _look_at(self, driver: Driver) -> DriverReport:
        try:
            await driver.prepare()
            if (check := self._checks.get(driver.name)) is None:
                return DriverReport(_candidate(driver, ""), "", self._now())
            found = await check()
        except (VmmError, OSError) as error:
            lack = str(error) or type(error).__name__
            return DriverReport(_candidate(driver, lack), "", self._now())
        if not found.works:
            return DriverReport(_candidate(driver, found.reason), "", found.at)
        return DriverReport(_candidate(driver, ""), found.reason, found.at)


def _candidate(driver: Driver, unusable: str) -> Candidate:
    return Candidate(driver.name, driver.max_milli_cpu, unusable)
