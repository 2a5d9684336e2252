"""An informer without its I/O."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from lightkube.core import resource as res

from monopod.kube import Change, Key, meta
from monopod.kube.store import Store

_T = TypeVar("_T", bound=res.Resource)


class FakeInformer(Generic[_T]):
    """Objects that the test sets, with the informer's callbacks."""

    def __init__(self) -> None:
        self._store: Store[_T] = Store()
        self._callbacks: list[Callable[[Change[_T]], None]] = []
        self._version = 0

    def get(self, key: Key) -> _T | None:
        return self._store.objects.get(key)

    def items(self) -> Sequence[_T]:
        return tuple(self._store)

    def subscribe(self, callback: Callable[[Change[_T]], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def put(self, obj: _T) -> None:
        """Show an object, under the next resource version unless it has one."""
        self._version += 1
        meta(obj).resourceVersion = meta(obj).resourceVersion or str(self._version)
        self._deliver(self._store.put(obj))

    def remove(self, key: Key) -> None:
        """Show that an object is gone; an unknown one changes nothing."""
        if (obj := self.get(key)) is not None:
            self._deliver(self._store.remove(obj))

    def _deliver(self, changes: Sequence[Change[_T]]) -> None:
        for change in changes:
            for callback in self._callbacks:
                callback(change)
