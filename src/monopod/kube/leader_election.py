"""Leader election with a Lease, by client-go's rules: one of a controller's replicas acts.

Clocks of replicas may differ: a Lease counts as held for its duration after this process *observed*
its last change; the times that the holder wrote do not count. A leader stops by its own monotonic
clock, before another one can start: ``renew_deadline_s`` after it began its last successful
renewal, while others wait for ``lease_duration_s`` after they saw it.

A process that was suspended finds out late. So each of its writes asks ``LeaderElector.check``
while the request is sent (see ``Client.guarded``).
"""

import asyncio
import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog
from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease
from prometheus_client import Gauge

from monopod.api.keys import SYSTEM_NAMESPACE
from monopod.api.metadata import meta
from monopod.errors import MonopodError
from monopod.kube.client import Client
from monopod.kube.errors import ConflictError, KubeError, NotFoundError, NotLeaderError
from monopod.settings import JITTER, Settings

_RELEASE_S: Final = 5.0
_IS_LEADER: Final = Gauge(
    "leader_election_master_status",
    "1 if this process leads, 0 if it stands by, by the Lease's name.",
    ["name"],
)
_log: Final = structlog.get_logger("leader-election")


class LeadershipLostError(MonopodError):
    """Another process may lead from now on: this one has to end."""


def own_identity() -> str:
    """Return an identity that no other process ever has: host name and a random part."""
    return f"{socket.gethostname()}_{secrets.token_hex(8)}"


def boot_time() -> float:
    """Return seconds of a monotonic clock that counts the host's sleep too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class ElectionConfig:
    """The Lease of one controller, and its timing in seconds; defaults are client-go's."""

    name: str
    """Of the Lease; all replicas of the controller have the same."""
    namespace: str
    identity: str
    lease_duration_s: int = 15
    """How long others wait after the last change of the Lease that they saw."""
    renew_deadline_s: float = 10.0
    """How long a leader acts after it began its last successful renewal."""
    retry_period_s: float = 2.0
    """Interval between renewals."""


def configured(settings: Settings, process: str) -> ElectionConfig | None:
    """Return a process's election; None if the settings have leader election off.

    Args:
        settings: The installation's; they check the order of the durations.
        process: Name of the process, such as ``scheduler``.
    """
    if not settings.leader_election:
        return None
    return ElectionConfig(
        name=f"monopod-{process}",
        namespace=SYSTEM_NAMESPACE,
        identity=own_identity(),
        lease_duration_s=settings.leader_election_lease_duration_s,
        renew_deadline_s=settings.leader_election_renew_deadline_s,
        retry_period_s=settings.leader_election_retry_period_s,
    )


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says."""

    holder: str = ""
    duration_s: int = 0
    acquired: datetime | None = None
    renewed: datetime | None = None
    transitions: int = 0

    @staticmethod
    def of(lease: Lease) -> "Record":
        """Return a Lease's record; one without a spec is held by no process."""
        spec = lease.spec or LeaseSpec()
        return Record(
            spec.holderIdentity or "",
            spec.leaseDurationSeconds or 0,
            spec.acquireTime,
            spec.renewTime,
            spec.leaseTransitions or 0,
        )

    def spec(self) -> LeaseSpec:
        """Return the spec of a Lease with this record."""
        return LeaseSpec(
            holderIdentity=self.holder,
            leaseDurationSeconds=self.duration_s,
            acquireTime=None if self.acquired is None else _micro(self.acquired),
            renewTime=None if self.renewed is None else _micro(self.renewed),
            leaseTransitions=self.transitions,
        )


@dataclass(frozen=True, slots=True)
class Observed:
    """A record, and when this process first saw it, by its own monotonic clock."""

    record: Record
    at: float

    def update(self, record: Record, now: float) -> "Observed":
        """Return the newer observation; an unchanged record keeps its time."""
        return self if record == self.record else Observed(record, now)

    def held_by_another(self, identity: str, now: float) -> bool:
        """Return whether another process may still act as the leader."""
        holder = self.record.holder
        return bool(holder) and holder != identity and now < self.at + self.record.duration_s


def renewed(old: Record, config: ElectionConfig, now: datetime) -> Record:
    """Return the record with which a process acquires or renews a Lease."""
    ours = old.holder == config.identity
    return Record(
        holder=config.identity,
        duration_s=config.lease_duration_s,
        acquired=old.acquired if ours else now,
        renewed=now,
        transitions=old.transitions if ours or old.acquired is None else old.transitions + 1,
    )


def released(old: Record, now: datetime) -> Record:
    """Return the record with which a leader hands over; another one can acquire it at once."""
    return replace(old, holder="", duration_s=1, acquired=now, renewed=now)


class LeaderElector:
    """One process's part in the election for one Lease."""

    def __init__(
        self,
        client: Client,
        config: ElectionConfig,
        *,
        clock: Callable[[], float] = boot_time,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Configure the elector; nothing is requested yet.

        Args:
            client: May get and update the Lease. Not a guarded one.
            config: The Lease and the timing.
            clock: Seconds, monotonic.
            now: The time that is written for people; no decision rests on it.
        """
        self._client = client
        self._config = config
        self._clock = clock
        self._now = now
        self._observed = Observed(Record(), clock())
        self._lease: Lease | None = None
        self._until = -float("inf")
        _IS_LEADER.labels(config.name).set(0)

    @property
    def leads(self) -> bool:
        """Whether this process may act now."""
        return self._clock() < self._until

    @property
    def leader(self) -> str:
        """The holder that was last observed; empty if there is none."""
        return self._observed.record.holder

    def check(self) -> None:
        """Do nothing if this process leads.

        Raises:
            NotLeaderError: It does not lead, or cannot know that it still does.
        """
        if not self.leads:
            raise NotLeaderError(f"this process does not hold the Lease {self._config.name}")

    async def acquire(self, standing_by: Callable[[], None] = lambda: None) -> None:
        """Wait until this process leads.

        Args:
            standing_by: Called once if another process leads now.
        """
        leader = None
        while not await self.attempt():
            if self.leader != leader:
                leader = self.leader
                _log.info("leader_election_standby", lease=self._config.name, leader=leader)
                standing_by()
            period = self._config.retry_period_s
            await asyncio.sleep(period * (1 + JITTER * random.random()))  # noqa: S311
        _log.info("leader_election_acquired", lease=self._config.name, me=self._config.identity)
        _IS_LEADER.labels(self._config.name).set(1)

    async def renew(self) -> None:
        """Renew the Lease until that fails for the renew deadline.

        Raises:
            LeadershipLostError: It did, or another process has the Lease.
        """
        try:
            while True:
                await asyncio.sleep(min(self._config.retry_period_s, self._until - self._clock()))
                left = self._until - self._clock()
                try:
                    async with asyncio.timeout(max(left, 0)):
                        ours = await self.attempt()
                except TimeoutError:
                    ours = False
                if self.leads:
                    continue
                why = "" if ours or not self.leader else f", its holder is {self.leader}"
                raise LeadershipLostError(
                    f"the Lease {self._config.name} could not be renewed for "
                    f"{self._config.renew_deadline_s:g} s{why}"
                )
        finally:
            _IS_LEADER.labels(self._config.name).set(0)

    async def release(self) -> None:
        """Let another process lead at once. Call it when nothing acts any more."""
        if not self.leads or self._lease is None:
            return
        self._until = -float("inf")
        record = released(self._observed.record, self._now())
        try:
            async with asyncio.timeout(_RELEASE_S):
                await self._write(self._lease, record)
        except (KubeError, TimeoutError) as error:
            _log.warning("leader_election_release_failed", lease=self._config.name, why=str(error))
        else:
            _log.info("leader_election_released", lease=self._config.name)

    async def attempt(self) -> bool:
        """Acquire or renew the Lease once; return whether this process holds it now."""
        began = self._clock()
        try:
            # A connection that hangs leaves time for another one, as client-go's does.
            async with asyncio.timeout(self._config.renew_deadline_s / 2):
                ours = await self._attempt()
        except TimeoutError:
            self._lease = None
            _log.warning("leader_election_failed", lease=self._config.name, why="no answer")
            return False
        except ConflictError:
            # Another process wrote first: what it wrote is seen at the next attempt.
            self._lease = None
            return False
        except KubeError as error:
            self._lease = None
            _log.warning("leader_election_failed", lease=self._config.name, why=error.message)
            return False
        if ours:
            self._until = began + self._config.renew_deadline_s
        elif self._observed.record.holder not in ("", self._config.identity):
            self._until = -float("inf")
        return ours

    async def _attempt(self) -> bool:
        config = self._config
        lease = self._lease if self.leads else None
        if lease is None:
            try:
                lease = await self._client.get(Lease, config.name, config.namespace)
            except NotFoundError:
                lease = Lease(metadata=ObjectMeta(name=config.name, namespace=config.namespace))
        self._observe(Record.of(lease))
        if self._observed.held_by_another(config.identity, self._clock()):
            return False
        await self._write(lease, renewed(Record.of(lease), config, self._now()))
        return True

    async def _write(self, lease: Lease, record: Record) -> None:
        wanted = Lease(metadata=lease.metadata, spec=record.spec())
        if meta(lease).resourceVersion is None:
            self._lease = await self._client.create(wanted)
        else:
            self._lease = await self._client.replace(wanted)
        self._observe(Record.of(self._lease))

    def _observe(self, record: Record) -> None:
        self._observed = self._observed.update(record, self._clock())


def _micro(at: datetime) -> datetime:
    """Return a time that is encoded with six digits of a fraction, as MicroTime requires."""
    return at.replace(microsecond=at.microsecond or 1)


def end_process(error: LeadershipLostError) -> None:
    """End this process without any clean-up: its work belongs to another one now."""
    _log.error("leader_election_lost", why=str(error))
    os._exit(1)
