import math
from collections.abc import Callable, Sequence

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap

from monopod.kube import Change, MutationCache
from monopod.kube.store import Store
from tests.kube.clock import ManualClock

pytestmark = pytest.mark.unit


class _Source:
    """An informer driven by the test."""

    def __init__(self) -> None:
        self.store: Store[ConfigMap] = Store()
        self._callbacks: list[Callable[[Change[ConfigMap]], None]] = []

    def get(self, key: str) -> ConfigMap | None:
        return self.store.objects.get(key)

    def items(self) -> Sequence[ConfigMap]:
        return tuple(self.store)

    def subscribe(self, callback: Callable[[Change[ConfigMap]], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def show(self, obj: ConfigMap, *, gone: bool = False) -> None:
        for change in self.store.remove(obj) if gone else self.store.put(obj):
            for callback in self._callbacks:
                callback(change)


def thing(version: str | None, uid: str | None = "u") -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name="a", uid=uid, resourceVersion=version))


def fresh(trusted_s: float = 10) -> tuple[_Source, MutationCache[ConfigMap], ManualClock]:
    source, clock = _Source(), ManualClock()
    return source, MutationCache(source, trusted_s=trusted_s, time=clock.time), clock


def test_a_newer_write_hides_the_informer_s_version() -> None:
    source, notes, _ = fresh()
    source.show(thing("9"))
    notes.note(thing("10"))
    assert notes.get("a") == thing("10")
    source.show(thing("11"))
    assert notes.get("a") == thing("11")


def test_a_response_older_than_its_watch_event_is_ignored() -> None:
    source, notes, _ = fresh()
    source.show(thing("11"))
    notes.note(thing("10"))
    assert notes.get("a") == thing("11")
    source.show(thing("12"), gone=True)
    notes.note(thing("11"))
    assert notes.get("a") is None


def test_an_object_about_to_be_created_is_shown_until_the_real_one_is() -> None:
    source, notes, _ = fresh()
    notes.note(thing(None, uid=None))
    assert notes.get("a") is not None
    assert len(list(notes.unconfirmed())) == 1
    source.show(thing("5"))
    assert notes.get("a") == thing("5")
    assert list(notes.unconfirmed()) == []


def test_an_unconfirmed_write_expires() -> None:
    _, notes, clock = fresh()
    notes.note(thing("5"))
    clock.turn(10)
    assert notes.get("a") is None
    notes.note(thing("5"))
    notes.drop("a")
    assert notes.get("a") is None


def test_a_write_can_win_for_as_long_as_the_informer_lags() -> None:
    source, notes, clock = fresh(math.inf)
    source.show(thing("9"))
    notes.note(thing("10"))
    clock.turn(100_000)
    assert notes.get("a") == thing("10")
    source.show(thing("10"), gone=True)
    notes.note(thing("10"))
    assert notes.get("a") is None


def test_a_write_does_not_hide_a_later_object_of_the_name() -> None:
    source, notes, _ = fresh()
    notes.note(thing("7", uid="old"))
    source.show(thing("6", uid="new"))
    assert notes.get("a") == thing("6", uid="new")
