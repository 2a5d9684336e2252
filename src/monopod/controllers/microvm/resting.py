"""Names of nodes that rest: certificates of an earlier machine are still valid for them.

A node is named after its pod's address, and addresses are used again. A certificate stolen from a
machine that is gone would be the identity of the next machine with its address, and of its pod. So
the name of a machine's node is not used again until the last certificate for it has expired. An
address whose node's name rests is given to a machine only if its subnet has no other left; that
machine's node gets another name (see ``nodes.new_name``), so no pod waits for certificates.

The record is one ConfigMap: a restarted controller reads it before its first decision, and only
this controller writes it. MicroVMs and Subnets cannot hold it: a MicroVM is gone by then, and a
Subnet's status is another controller's. It is bounded: beyond ``_MOST`` names, every name rests
until the last of those left out no longer does.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import AddressValueError, IPv4Address
from typing import Final

import structlog
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap

from monopod.api import keys
from monopod.kube import Client, NotFoundError

NAME: Final = "resting-node-names"
_MOST: Final = 4096
"""Names recorded; about 45 bytes each."""
_ALL: Final = "all"
_SLACK: Final = timedelta(minutes=1)
"""A request approved just before its machine was deleted is signed after that."""
_log: Final = structlog.get_logger("microvm")


class RestingNames:
    """Which addresses' nodes' names rest, and until when. A container of those addresses."""

    def __init__(
        self, client: Client, lifetime_s: float, now: Callable[[], datetime], most: int = _MOST
    ) -> None:
        """Nothing rests until ``load``.

        Args:
            client: May get, create and patch the ConfigMap.
            lifetime_s: Longest lifetime of a node's certificate in seconds.
            now: Returns the time, with its zone.
            most: Names that are recorded one by one.
        """
        self._client = client
        self._lifetime = timedelta(seconds=lifetime_s) + _SLACK
        self._now = now
        self._most = most
        self._until: dict[IPv4Address, datetime] = {}
        self._all: datetime | None = None
        self._unwritten: dict[str, str | None] = {}
        self._writing = asyncio.Lock()

    def __contains__(self, address: object) -> bool:
        """Whether the name of an address's node rests."""
        return isinstance(address, IPv4Address) and self.until(address) is not None

    @property
    def all_rest(self) -> bool:
        """Whether every name rests, because more do than are recorded."""
        return self._all is not None and self._all > self._now()

    def until(self, address: IPv4Address) -> datetime | None:
        """Return until when the name of an address's node rests; None means it does not."""
        ends = [each for each in (self._until.get(address), self._all) if each is not None]
        last = max(ends, default=None)
        return last if last is not None and last > self._now() else None

    def rest(self, address: IPv4Address) -> None:
        """Let the name of an address's node rest from now; ``flush`` records it."""
        until = self._now().replace(microsecond=0) + self._lifetime
        self._until.pop(address, None)
        self._until[address] = until
        self._unwritten[str(address)] = until.isoformat()
        self._forget_expired()
        while len(self._until) > self._most:
            # The first is the oldest.
            oldest = next(iter(self._until))
            self._all = max(self._all or self._until[oldest], self._until.pop(oldest))
            self._unwritten |= {str(oldest): None, _ALL: self._all.isoformat()}

    def _forget_expired(self) -> None:
        now = self._now()
        for address in list(self._until):
            if self._until[address] > now:
                break
            del self._until[address]
            self._unwritten[str(address)] = None

    async def load(self) -> None:
        """Read the record.

        Raises:
            KubeError: The API server refused or is unreachable.
        """
        try:
            found = await self._client.get(ConfigMap, NAME, keys.SYSTEM_NAMESPACE)
        except NotFoundError:
            return
        ends: dict[IPv4Address, datetime] = {}
        for key, text in (found.data or {}).items():
            try:
                until = datetime.fromisoformat(text)
                if key == _ALL:
                    self._all = until
                else:
                    ends[IPv4Address(key)] = until
            except (AddressValueError, ValueError):
                _log.warning("resting_name_unreadable", key=key, value=text)
        self._until = dict(sorted(ends.items(), key=lambda each: each[1])) | self._until

    async def flush(self) -> None:
        """Record what rests; returns once all that rests now is recorded.

        Raises:
            KubeError: The API server refused or is unreachable; flush again.
        """
        async with self._writing:
            # What another call has written meanwhile is not written again.
            if not self._unwritten:
                return
            written, self._unwritten = self._unwritten, {}
            try:
                await self._write(written)
            except BaseException:
                self._unwritten = written | self._unwritten
                raise

    async def _write(self, changed: dict[str, str | None]) -> None:
        try:
            await self._client.patch(ConfigMap, NAME, {"data": changed}, keys.SYSTEM_NAMESPACE)
        except NotFoundError:
            ends = {str(address): until.isoformat() for address, until in self._until.items()}
            data = ends if self._all is None else {**ends, _ALL: self._all.isoformat()}
            metadata = ObjectMeta(name=NAME, namespace=keys.SYSTEM_NAMESPACE)
            await self._client.create(ConfigMap(metadata=metadata, data=data))
