"""What we have just written, until the informer shows it: a controller must read its own writes.

Without it a second look at a pod, caused by any event, would not know of the first look's work.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from lightkube.core import resource as res

from monopod.kube.objects import Key, identity, key_of, meta
from monopod.kube.store import Change, Deleted

_T = TypeVar("_T", bound=res.Resource)

_TRUSTED_S: Final = 10.0


class Source(Protocol[_T]):
    """What notes are laid over: an informer."""

    def get(self, key: Key) -> _T | None:
        """Return the object of this key, if there is one."""
        ...

    def subscribe(self, callback: Callable[[Change[_T]], None]) -> Callable[[], None]:
        """Call back with every change."""
        ...


class Fresh(Generic[_T]):
    """An informer's objects, or newer ones that we noted ourselves.

    A note is believed for some seconds only: if the informer never shows it, it is not so.
    """

    def __init__(
        self,
        informer: Source[_T],
        *,
        trusted_s: float = _TRUSTED_S,
        time: Callable[[], float] | None = None,
    ) -> None:
        """Lay notes over an informer.

        Args:
            informer: What the API server shows.
            trusted_s: How long a note is believed, in seconds.
            time: A monotonic clock; the event loop's unless given.
        """
        self._informer = informer
        self._trusted_s = trusted_s
        self._time = time or (lambda: asyncio.get_running_loop().time())
        self._notes: dict[Key, tuple[float, _T]] = {}
        self._gone: dict[str, float] = {}
        informer.subscribe(self._changed)

    def note(self, obj: _T) -> None:
        """Remember an object as we wrote it, or are about to create it."""
        # An answer may come after the word of the object's end.
        if identity(obj) not in self._gone:
            self._notes[key_of(obj)] = (self._time() + self._trusted_s, obj)

    def drop(self, key: Key) -> None:
        """Forget a note: the write did not come about."""
        self._notes.pop(key, None)

    def get(self, key: Key) -> _T | None:
        """Return the newest that is known of an object."""
        self._settle(key)
        noted = self._notes.get(key)
        return noted[1] if noted is not None else self._informer.get(key)

    def unconfirmed(self) -> Iterator[_T]:
        """Yield the noted objects that the informer does not have at all."""
        for key in tuple(self._notes):
            self._settle(key)
            noted = self._notes.get(key)
            if noted is not None and self._informer.get(key) is None:
                yield noted[1]

    def _changed(self, change: Change[_T]) -> None:
        noted = self._notes.get(change.key)
        uid = identity(change.object)
        if isinstance(change, Deleted):
            now = self._time()
            self._gone = {uid: until for uid, until in self._gone.items() if until > now}
            self._gone[uid] = now + self._trusted_s
            if noted is not None and identity(noted[1]) == uid:
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
    if identity(noted) != identity(shown):
        return False
    try:
        # Versions of one kind are ordered integers (KEP 5504).
        return int(meta(noted).resourceVersion or 0) > int(meta(shown).resourceVersion or 0)
    except ValueError:
        return False
