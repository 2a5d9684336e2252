"""The drivers of this host, each with the reason it cannot be used, if any.

An unusable driver is no failure: it is kept with its reason, and checked again when it is needed.
Machines that already run under it are still handled by it.
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
    """The result of checking a prepared driver."""

    works: bool
    reason: str
    """Evidence that it works, or why it does not."""
    at: datetime
    """Time of the check, with time zone."""


Check = Callable[[], Awaitable[Finding]]
"""Checks whether a prepared driver works; raises VmmError if that cannot be determined."""

_CHECK_AGAIN_S: Final = 20.0
_log: Final = structlog.get_logger("provider")


class Drivers:
    """All drivers by name, with the results of their checks."""

    def __init__(
        self,
        drivers: Sequence[Driver],
        checks: Mapping[str, Check] | None = None,
        *,
        tcg: bool = False,
        changed: Callable[["Drivers"], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Register the drivers; none can be used before ``prepare``.

        Args:
            drivers: All drivers, with unique names.
            checks: Further checks by driver name, run after its preparation.
            tcg: Whether a machine may run under TCG without a request for it.
            changed: Called after each check of the drivers.
            now: The current time, for reports.
            clock: A monotonic clock in seconds.
        """
        self._drivers = {each.name: each for each in drivers}
        self._checks = dict(checks or {})
        self._reports = {
            each.name: DriverReport(_candidate(each, "it has not been checked yet"), "", now())
            for each in drivers
        }
        self._tcg = tcg
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
        """Return the driver of a name, usable or not. None means there is none."""
        return self._drivers.get(name)

    @property
    def reports(self) -> tuple[DriverReport, ...]:
        """The latest check of each driver."""
        return tuple(self._reports.values())

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Each driver's properties as of its latest check."""
        return tuple(each.candidate for each in self.reports)

    async def prepare(self) -> None:
        """Check every driver that is not usable yet; failures are recorded, not raised."""
        async with self._checking:
            lacking = [each for each in self if self._reports[each.name].candidate.unusable]
            # Sequentially: some share the directory that they publish their files in.
            for each in lacking:
                found = await self._check(each)
                driver = found.candidate
                if driver != self._reports[driver.name].candidate:
                    usable = not driver.unusable
                    _log.info(
                        "driver_checked", driver=driver.name, usable=usable, reason=driver.unusable
                    )
                self._reports[driver.name] = found
            self._checked = self._clock()
        self._changed(self)

    async def choose(self, milli_cpu: int, requested: str) -> DriverSelection:
        """Choose the driver for a machine, checking unusable drivers again before it fails.

        Raises:
            DriverUnavailableError: This host cannot run the requested driver, or any at all.
            SizeUnsupportedError: No usable driver supports this size.
        """
        try:
            return choose(milli_cpu, requested, self.candidates, tcg=self._tcg)
        except (DriverUnavailableError, SizeUnsupportedError):
            if self._clock() - self._checked < _CHECK_AGAIN_S:
                raise
        await self.prepare()
        return choose(milli_cpu, requested, self.candidates, tcg=self._tcg)

    def require(self) -> None:
        """Require at least one usable driver.

        Raises:
            ProviderError: No driver is usable; the message names what each one lacks.
        """
        if all(each.unusable for each in self.candidates):
            lacks = "; ".join(f"{each.name}: {each.unusable}" for each in self.candidates)
            raise ProviderError(f"no driver can be used on this host: {lacks}")

    async def _check(self, driver: Driver) -> DriverReport:
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
