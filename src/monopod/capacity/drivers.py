"""The drivers of this host, each with what stands against it.

One that this host cannot run is no failure: it is kept with its reason, and looked at again when
somebody wants it. Whatever may be said against a driver, the machines that run under it are handled
by it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog

from monopod.capacity import CapacityError, Choice, DriverUnavailableError, SizeUnsupportedError
from monopod.capacity.choice import Candidate, choose
from monopod.vmm.driver import Driver, VmmError

Check = Callable[[], Awaitable[None]]
"""Raises VmmError when a driver that is prepared does not work all the same."""

_CHECK_AGAIN_S: Final = 20.0
_log: Final = structlog.get_logger("capacity")


class Drivers:
    """Every driver there is, by its name."""

    def __init__(
        self,
        drivers: Sequence[Driver],
        checks: Mapping[str, Check] | None = None,
        *,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the drivers; none of them can be used before ``prepare``.

        Args:
            drivers: All of them, of names that differ.
            checks: What more than its preparation a driver of this name has to pass.
            changed: Called when it is another thing that is known of them.
            clock: Seconds from any fixed point.
        """
        self._drivers = {each.name: each for each in drivers}
        self._checks = dict(checks or {})
        self._unusable = dict.fromkeys(self._drivers, "it was not looked at yet")
        self._changed = changed
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
    def candidates(self) -> tuple[Candidate, ...]:
        """What each says of itself, as far as is known now."""
        return tuple(
            Candidate(each.name, each.max_milli_cpu, self._unusable[each.name]) for each in self
        )

    async def prepare(self) -> None:
        """Look at every driver that cannot be used yet; what they lack is kept, not raised."""
        async with self._checking:
            before = dict(self._unusable)
            lacking = [each for each in self if self._unusable[each.name]]
            found = await asyncio.gather(*(self._lack(each) for each in lacking))
            for driver, why in zip(lacking, found, strict=True):
                self._unusable[driver.name] = why
                if why != before[driver.name]:
                    _log.info("driver", driver=driver.name, usable=not why, why=why)
            self._checked = self._clock()
        if self._unusable != before:
            self._changed()

    async def choose(self, milli_cpu: int, insisted: str) -> Choice:
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
            CapacityError: None can; names what each of them lacks.
        """
        if all(self._unusable.values()):
            lacks = "; ".join(f"{name}: {why}" for name, why in self._unusable.items())
            raise CapacityError(f"this host cannot run machines of any kind: {lacks}")

    async def _lack(self, driver: Driver) -> str:
        try:
            await driver.prepare()
            if (check := self._checks.get(driver.name)) is not None:
                await check()
        except (VmmError, OSError) as error:
            return str(error) or type(error).__name__
        return ""
