"""Records Kubernetes events, as ``kubectl describe`` shows them.

Recording never blocks and never raises. An event's name is derived from its object and its text,
so a repetition, even by a restarted process, raises the first one's count and adds no other.
"""

import asyncio
import enum
import hashlib
import os
import socket
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from lightkube.core import resource as res
from lightkube.models import core_v1 as models
from lightkube.models import meta_v1
from lightkube.resources import core_v1
from prometheus_client import Counter

from monopod.api.metadata import meta, name_of
from monopod.kube.client import Client
from monopod.kube.errors import AlreadyExistsError, KubeError, NotFoundError, TransientError
from monopod.util.concurrency import run_concurrently

_WAITING: Final = 1000
_WRITERS: Final = 4
"""Events written at once; one by one, they fall behind many pod starts. Those about one object have
one writer, which keeps their order."""
_REMEMBERED: Final = 4096
_MESSAGE_CHARS: Final = 1024
_NAME_CHARS: Final = 253
_TRIES: Final = 5
_DROPPED: Final = Counter(
    "monopod_events_dropped_total", "Events never written.", ["component", "why"]
)
_log: Final = structlog.get_logger("events")


class EventType(enum.Enum):
    """The type of an event."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class _Entry:
    about: models.ObjectReference
    namespace: str
    name: str
    type: EventType
    reason: str
    message: str
    at: datetime


class EventRecorder:
    """Writes events in the background while ``run`` runs."""

    def __init__(
        self,
        client: Client,
        component: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Configure the recorder.

        Args:
            client: Writes the events.
            component: The source, as ``kubectl describe`` shows it under "From".
            now: Returns the time.
        """
        self._client = client
        self._component = component
        self._instance = f"{component}-{socket.gethostname()}-{os.getpid()}"
        self._now = now
        self._queues: Sequence[asyncio.Queue[_Entry]] = [asyncio.Queue() for _ in range(_WRITERS)]
        self._counts: OrderedDict[str, int] = OrderedDict()

    def record(self, about: res.Resource, kind: EventType, reason: str, message: str) -> None:
        """Queue an event about an object.

        Args:
            about: The object.
            kind: Normal or a warning.
            reason: One CamelCase word.
            message: For people; cut to 1024 characters.
        """
        metadata = meta(about)
        definition = res.api_info(about).resource
        name, message = name_of(about), message[:_MESSAGE_CHARS]
        text = "\0".join(
            (metadata.uid or name, self._component, kind.value, reason, message)
        ).encode()
        suffix = "." + hashlib.sha256(text).hexdigest()[:16]
        entry = _Entry(
            about=models.ObjectReference(
                apiVersion=definition.api_version,
                kind=definition.kind,
                name=name,
                namespace=metadata.namespace,
                uid=metadata.uid,
            ),
            namespace=metadata.namespace or "default",
            name=name[: _NAME_CHARS - len(suffix)].rstrip(".-") + suffix,
            type=kind,
            reason=reason,
            message=message,
            at=self._now(),
        )
        if sum(queue.qsize() for queue in self._queues) >= _WAITING:
            _DROPPED.labels(self._component, "full").inc()
            return
        writer = zlib.crc32((metadata.uid or name).encode()) % _WRITERS
        self._queues[writer].put_nowait(entry)

    async def flush(self) -> None:
        """Wait until every queued event is written or dropped."""
        for queue in self._queues:
            await queue.join()

    async def run(self) -> None:
        """Write queued events until cancelled."""
        await run_concurrently(*map(self._write_queued, self._queues))

    async def _write_queued(self, queue: asyncio.Queue[_Entry]) -> None:
        while True:
            entry = await queue.get()
            try:
                await self._write(entry)
            finally:
                queue.task_done()

    async def _write(self, entry: _Entry) -> None:
        for attempt in range(_TRIES):
            try:
                await self._write_once(entry)
            except TransientError as error:
                await asyncio.sleep(error.retry_after_s or 0.2 * 2**attempt)
            except KubeError as error:
                # A namespace that is being deleted accepts no new events, which no one needs.
                _log.info("event_rejected", event_reason=entry.reason, why=error.message)
                break
            else:
                return
        _DROPPED.labels(self._component, "refused").inc()

    async def _write_once(self, entry: _Entry) -> None:
        count = self._counts.get(entry.name, 0)
        if not count:
            try:
                await self._client.create(self._event(entry))
            except AlreadyExistsError:
                old = await self._client.get(core_v1.Event, entry.name, entry.namespace)
                count = old.count or 1
            else:
                self._remember(entry.name, 1)
                return
        patch = {"count": count + 1, "lastTimestamp": entry.at.replace(microsecond=0)}
        try:
            await self._client.patch(core_v1.Event, entry.name, patch, entry.namespace)
        except NotFoundError:
            self._counts.pop(entry.name, None)
            await self._client.create(self._event(entry))
            count = 0
        self._remember(entry.name, count + 1)

    def _event(self, entry: _Entry) -> core_v1.Event:
        at = entry.at.replace(microsecond=0)
        return core_v1.Event(
            metadata=meta_v1.ObjectMeta(name=entry.name, namespace=entry.namespace),
            involvedObject=entry.about,
            type=entry.type.value,
            reason=entry.reason,
            message=entry.message,
            source=models.EventSource(component=self._component),
            reportingComponent=self._component,
            reportingInstance=self._instance[:128],
            firstTimestamp=at,
            lastTimestamp=at,
            count=1,
        )

    def _remember(self, name: str, count: int) -> None:
        self._counts[name] = count
        self._counts.move_to_end(name)
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
