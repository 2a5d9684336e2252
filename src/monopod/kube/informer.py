"""Informer: a live cache of all objects of one kind, with a callback for each change.

It lists once, watches from there, and relists only when the resource version has expired; objects
that vanished meanwhile are then reported as deleted. It never stops by itself: a watch that breaks,
goes idle or is rejected is reopened, with back-off, for as long as ``run`` runs.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec
import structlog
from lightkube.core import resource as res
from prometheus_client import Counter

from monopod.api.metadata import meta
from monopod.kube.client import Client
from monopod.kube.errors import GoneError, KubeError, TransientError, from_status
from monopod.kube.objects import Key, key_of, with_type
from monopod.kube.store import Added, Change, Store

_T = TypeVar("_T", bound=res.Resource)

_SERVER_TIMEOUT_S: Final = (300, 600)
_ANSWER_S: Final = 10.0
_IDLE_S: Final = 150.0
_BACKOFF_S: Final = (0.05, 5.0)
_LISTS: Final = Counter("monopod_informer_lists_total", "Lists, including the first.", ["kind"])
_BREAKS: Final = Counter(
    "monopod_informer_breaks_total", "Watches that ended with an error.", ["kind"]
)
_log: Final = structlog.get_logger("informer")


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _VersionMeta(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815
    name: str = ""
    namespace: str = ""


class _Versioned(msgspec.Struct):
    metadata: _VersionMeta


class Informer(Generic[_T]):
    """A cache of the objects of one kind, kept current while ``run`` runs."""

    def __init__(
        self,
        client: Client,
        kind: type[_T],
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        held: bool = False,
        answer_s: float = _ANSWER_S,
        idle_s: float = _IDLE_S,
    ) -> None:
        """Configure the informer; ``run`` starts it.

        Args:
            client: Lists and watches.
            kind: Class of the objects.
            namespace: Only in this namespace.
            labels: A label selector.
            fields: A field selector.
            held: Whether the cache is kept, but no callback is called, until ``deliver``.
            answer_s: Seconds after which a watch without response headers is abandoned.
            idle_s: Seconds without data after which a watch counts as dead.
        """
        self._client = client
        self._kind = kind
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._held = held
        self._answer_s = answer_s
        self._idle_s = idle_s
        self._name = kind.__name__
        self._decoder = msgspec.json.Decoder(kind)
        self._events = msgspec.json.Decoder(_Event)
        self._store: Store[_T] = Store()
        self._callbacks: list[Callable[[Change[_T]], None]] = []
        self._synced = asyncio.Event()
        self._version = ""
        self._refreshes = 0
        """Requested refreshes; ``_refreshed`` of them have been answered."""
        self._refreshed = 0
        self._interruptible: asyncio.Timeout | None = None
        self._heard = time.monotonic()
        self._failures = 0

    def get(self, key: Key) -> _T | None:
        """Return the object of this key, or None. Callers must not modify it."""
        return self._store.objects.get(key)

    def items(self) -> Sequence[_T]:
        """Return all cached objects. Callers must not modify them."""
        return tuple(self._store)

    def subscribe(self, callback: Callable[[Change[_T]], None]) -> Callable[[], None]:
        """Call back with every change, and with an ``Added`` for each cached object.

        The callback must not block; its exceptions are logged. The result unsubscribes.
        """
        self._callbacks.append(callback)
        if not self._held:
            for key, obj in tuple(self._store.objects.items()):
                self._tell_one(callback, Added(key, obj))
        return lambda: self._callbacks.remove(callback)

    def deliver(self) -> None:
        """Call back with an ``Added`` for each cached object, and from now on with every change."""
        self._held = False
        self._tell([Added(key, obj) for key, obj in self._store.objects.items()])

    async def synced(self) -> None:
        """Wait until the first list is complete and its changes are delivered."""
        await self._synced.wait()

    async def refresh(self) -> None:
        """List again, and wait until the cache has everything that was written before the call.

        A watch delivers later than the API server answers, and does not say how far it is.
        """
        self._refreshes = wanted = self._refreshes + 1
        if self._interruptible is not None:
            self._interruptible.reschedule(asyncio.get_running_loop().time())
        while self._refreshed < wanted:
            self._synced.clear()
            await self._synced.wait()

    @property
    def failures(self) -> int:
        """Consecutive failures to list or watch."""
        return self._failures

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            before = self._heard
            try:
                while not self._version or self._refreshed < self._refreshes:
                    await self._list()
                try:
                    async with asyncio.timeout(None) as self._interruptible:
                        await self._watch()
                except TimeoutError:
                    if self._refreshed == self._refreshes:
                        raise
                finally:
                    self._interruptible = None
                self._failures = 0
                continue
            except GoneError as error:
                _log.info("informer_relist", kind=self._name, why=error.message)
                self._version = ""
                pause = None
            except KubeError as error:
                _log.warning("informer_watch_broken", kind=self._name, why=error.message)
                pause = error.retry_after_s if isinstance(error, TransientError) else None
            except Exception:
                # A controller with a stale cache is worse than one that logs too much.
                _log.exception("informer_watch_failed", kind=self._name)
                self._version = ""
                pause = None
            _BREAKS.labels(self._name).inc()
            self._failures = 1 if self._heard > before else self._failures + 1
            await asyncio.sleep(_pause_s(self._failures) if pause is None else pause)

    async def _list(self) -> None:
        refreshes = self._refreshes
        raw, version = await self._client.list_raw(
            self._kind, self._namespace, labels=self._labels, fields=self._fields
        )
        objects: dict[Key, _T] = {}
        for item in raw:
            obj = self._decode(item)
            if obj is not None:
                objects[key_of(obj)] = obj
        self._heard = time.monotonic()
        _LISTS.labels(self._name).inc()
        self._tell(self._store.replace(objects))
        self._version = version
        self._refreshed = refreshes
        self._synced.set()

    async def _watch(self) -> None:
        async with self._client.watch_raw(
            self._kind,
            self._version,
            self._namespace,
            labels=self._labels,
            fields=self._fields,
            timeout_s=random.randint(*_SERVER_TIMEOUT_S),  # noqa: S311 - spreads load
            answer_s=self._answer_s,
            idle_s=self._idle_s,
        ) as lines:
            async for line in lines:
                self._heard = time.monotonic()
                self._take(self._events.decode(line))

    def _take(self, event: _Event) -> None:
        if event.type == "ERROR":
            raise from_status(bytes(event.object))
        if event.type == "BOOKMARK":
            self._version = _versioned(event.object).resourceVersion
            return
        obj = self._decode(event.object)
        if obj is None:
            self._version = _versioned(event.object).resourceVersion
            return
        changes = self._store.remove(obj) if event.type == "DELETED" else self._store.put(obj)
        self._version = meta(obj).resourceVersion or self._version
        self._tell(changes)

    def _decode(self, raw: msgspec.Raw) -> _T | None:
        try:
            obj = with_type(self._decoder.decode(raw))
        except msgspec.ValidationError as error:
            # One object that violates its schema must not hide all others.
            bad = _versioned(raw)
            _log.error(
                "informer_object_skipped",
                kind=self._name,
                namespace=bad.namespace,
                name=bad.name,
                why=str(error),
            )
            return None
        meta(obj).managedFields = None
        return obj

    def _tell(self, changes: Sequence[Change[_T]]) -> None:
        if self._held:
            return
        for change in changes:
            for callback in tuple(self._callbacks):
                self._tell_one(callback, change)

    def _tell_one(self, callback: Callable[[Change[_T]], None], change: Change[_T]) -> None:
        try:
            callback(change)
        except Exception:
            _log.exception("informer_callback_failed", kind=self._name, key=change.key)


def _versioned(raw: msgspec.Raw) -> _VersionMeta:
    return msgspec.json.decode(raw, type=_Versioned).metadata


def _pause_s(failures: int) -> float:
    base, cap = _BACKOFF_S
    longest = min(cap, base * 2**failures)
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads load
