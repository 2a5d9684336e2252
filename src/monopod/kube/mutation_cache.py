"""Mutation cache: a controller's own writes until its informer shows them (read-your-writes).

Without it, a reconcile that follows another at once would not see what that one wrote.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, Protocol, TypeVar

from lightkube.core import resource as res

from monopod.api.metadata import meta, uid_of
from monopod.kube.objects import Key, key_of
from monopod.kube.store import Change, Deleted

_T = TypeVar("_T", bound=res.Resource)

_TRUSTED_S: Final = 10.0
_GONE_S: Final = 10.0


class Source(Protocol[_T]):
    """What a cache or an index needs of an informer."""

    def get(self, key: Key) -> _T | None:
        """Return the object of this key, or None."""
        ...

    def items(self) -> Sequence[_T]:
        """Return all objects."""
        ...

    def subscribe(self, callback: Callable[[Change[_T]], None]) -> Callable[[], None]:
        """Call back with every change, after ``get`` and ``items`` show it."""
        ...


class MutationCache(Generic[_T]):
    """An informer's objects, overlaid with newer ones that this process wrote.

    A local write wins until the informer shows it or a later one, but for ``trusted_s`` at most.
    """

    def __init__(
        self,
        informer: Source[_T],
        *,
        trusted_s: float = _TRUSTED_S,
        time: Callable[[], float] | None = None,
    ) -> None:
        """Overlay an informer.

        Args:
            informer: The objects as the API server shows them.
            trusted_s: Seconds for which a local write wins; infinity if no decision may ever be
                based on an older object.
            time: A monotonic clock; the event loop's unless given.
        """
        self._informer = informer
        self._trusted_s = trusted_s
        self._time = time or (lambda: asyncio.get_running_loop().time())
        self._notes: dict[Key, tuple[float, _T]] = {}
        self._gone: dict[str, float] = {}
        informer.subscribe(self._changed)

    def note(self, obj: _T) -> None:
        """Store an object as we wrote it, or are about to create it."""
        # A write's response may arrive after the object's deletion event.
        if uid_of(obj) not in self._gone:
            self._notes[key_of(obj)] = (self._time() + self._trusted_s, obj)

    def drop(self, key: Key) -> None:
        """Remove a stored object: its write failed."""
        self._notes.pop(key, None)

    def get(self, key: Key) -> _T | None:
        """Return the newest known version of an object, or None."""
        self._settle(key)
        noted = self._notes.get(key)
        return noted[1] if noted is not None else self._informer.get(key)

    def unconfirmed(self) -> Iterator[_T]:
        """Yield stored objects that the informer does not have at all."""
        for key in tuple(self._notes):
            self._settle(key)
            noted = self._notes.get(key)
            if noted is not None and self._informer.get(key) is None:
                yield noted[1]

    def _changed(self, change: Change[_T]) -> None:
        noted = self._notes.get(change.key)
        uid = uid_of(change.object)
        if isinstance(change, Deleted):
            now = self._time()
            while self._gone and self._gone[oldest := next(iter(self._gone))] <= now:
                del self._gone[oldest]
            self._gone[uid] = now + _GONE_S
            if noted is not None and uid_of(noted[1]) == uid:
                del self._notes[change.key]
        self._settle(change.key)

    def _settle(self, key: Key) -> None:
        noted = self._notes.get(key)
        if noted is None:
            return
        until, obj = noted
        shown = self._informer.get(key)
        if self._time() >= until or (shown is not None and not _newer(obj, shown)):
            del self._notes[key]


def _newer(noted: res.Resource, shown: res.Resource) -> bool:
    if uid_of(noted) != uid_of(shown):
        return False
    try:
        # Versions of one kind are ordered integers (KEP 5504).
        return int(meta(noted).resourceVersion or 0) > int(meta(shown).resourceVersion or 0)
    except ValueError:
        return False
