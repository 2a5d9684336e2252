"""The objects a watch has shown so far, and what changed: the informer without its I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from lightkube.core import resource as res

from monopod.kube.objects import Key, identity, key_of, meta

_T = TypeVar("_T", bound=res.Resource)


@dataclass(frozen=True, slots=True)
class Added(Generic[_T]):
    """An object is there that was not known."""

    key: Key
    object: _T


@dataclass(frozen=True, slots=True)
class Modified(Generic[_T]):
    """A known object is in another version."""

    key: Key
    object: _T
    old: _T


@dataclass(frozen=True, slots=True)
class Deleted(Generic[_T]):
    """A known object is gone; ``object`` is the last that was seen of it."""

    key: Key
    object: _T


Change = Added[_T] | Modified[_T] | Deleted[_T]


class Store(Generic[_T]):
    """Objects by key. Every method returns the changes it made, in order."""

    def __init__(self) -> None:
        self._objects: dict[Key, _T] = {}

    @property
    def objects(self) -> Mapping[Key, _T]:
        """What is known now; not to be kept across an await."""
        return self._objects

    def put(self, obj: _T) -> list[Change[_T]]:
        """Take in an object; one already held in this version changes nothing."""
        key = key_of(obj)
        old = self._objects.get(key)
        self._objects[key] = obj
        if old is None:
            return [Added(key, obj)]
        if identity(old) != identity(obj):
            return [Deleted(key, old), Added(key, obj)]
        if meta(old).resourceVersion == meta(obj).resourceVersion:
            return []
        return [Modified(key, obj, old)]

    def remove(self, obj: _T) -> list[Change[_T]]:
        """Take out an object; one not held changes nothing."""
        key = key_of(obj)
        if self._objects.pop(key, None) is None:
            return []
        return [Deleted(key, obj)]

    def replace(self, objects: Mapping[Key, _T]) -> list[Change[_T]]:
        """Become what a fresh list says: deletions that no watch told of are found here."""
        gone = [key for key in self._objects if key not in objects]
        changes: list[Change[_T]] = [Deleted(key, self._objects.pop(key)) for key in gone]
        for obj in objects.values():
            changes += self.put(obj)
        return changes

    def __iter__(self) -> Iterator[_T]:
        return iter(self._objects.values())
