"""Cache of an informer, without I/O: objects by key, and the changes between versions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from lightkube.core import resource as res

from monopod.api.metadata import meta, uid_of
from monopod.kube.objects import Key, key_of

_T = TypeVar("_T", bound=res.Resource)


@dataclass(frozen=True, slots=True)
class Added(Generic[_T]):
    """An object is new."""

    key: Key
    object: _T


@dataclass(frozen=True, slots=True)
class Modified(Generic[_T]):
    """A known object has another resource version."""

    key: Key
    object: _T
    old: _T


@dataclass(frozen=True, slots=True)
class Deleted(Generic[_T]):
    """A known object is gone; ``object`` is its last known version."""

    key: Key
    object: _T


Change = Added[_T] | Modified[_T] | Deleted[_T]


class Store(Generic[_T]):
    """Objects by key. Every method returns the changes it made, in order."""

    def __init__(self) -> None:
        self._objects: dict[Key, _T] = {}

    @property
    def objects(self) -> Mapping[Key, _T]:
        """All cached objects; not valid across an await."""
        return self._objects

    def put(self, obj: _T) -> list[Change[_T]]:
        """Store an object; an unchanged resource version changes nothing."""
        key = key_of(obj)
        old = self._objects.get(key)
        self._objects[key] = obj
        if old is None:
            return [Added(key, obj)]
        if uid_of(old) != uid_of(obj):
            return [Deleted(key, old), Added(key, obj)]
        if meta(old).resourceVersion == meta(obj).resourceVersion:
            return []
        return [Modified(key, obj, old)]

    def remove(self, obj: _T) -> list[Change[_T]]:
        """Remove an object; an unknown one changes nothing."""
        key = key_of(obj)
        if self._objects.pop(key, None) is None:
            return []
        return [Deleted(key, obj)]

    def replace(self, objects: Mapping[Key, _T]) -> list[Change[_T]]:
        """Replace the content with a new list, and so finds deletions that no watch reported."""
        gone = [key for key in self._objects if key not in objects]
        changes: list[Change[_T]] = [Deleted(key, self._objects.pop(key)) for key in gone]
        for obj in objects.values():
            changes += self.put(obj)
        return changes

    def __iter__(self) -> Iterator[_T]:
        return iter(self._objects.values())
