import math

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap

from monopod.kube import MutationCache
from tests.kube.clock import ManualClock
from tests.kube.source import FakeInformer

pytestmark = pytest.mark.unit


def thing(version: str | None, uid: str | None = "u") -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name="a", uid=uid, resourceVersion=version))


def fresh(
    trusted_s: float = 10,
) -> tuple[FakeInformer[ConfigMap], MutationCache[ConfigMap], ManualClock]:
    source, clock = FakeInformer[ConfigMap](), ManualClock()
    return source, MutationCache(source, trusted_s=trusted_s, time=clock.time), clock


def test_a_newer_write_hides_the_informer_s_version() -> None:
    source, notes, _ = fresh()
    source.put(thing("9"))
    notes.note(thing("10"))
    assert notes.get("a") == thing("10")
    source.put(thing("11"))
    assert notes.get("a") == thing("11")


def test_a_response_older_than_its_watch_event_is_ignored() -> None:
    source, notes, _ = fresh()
    source.put(thing("11"))
    notes.note(thing("10"))
    assert notes.get("a") == thing("11")
    source.remove("a")
    notes.note(thing("11"))
    assert notes.get("a") is None


def test_an_object_about_to_be_created_is_shown_until_the_real_one_is() -> None:
    source, notes, _ = fresh()
    notes.note(thing(None, uid=None))
    assert notes.get("a") is not None
    assert len(list(notes.unconfirmed())) == 1
    source.put(thing("5"))
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
    source.put(thing("9"))
    notes.note(thing("10"))
    clock.turn(100_000)
    assert notes.get("a") == thing("10")
    source.remove("a")
    notes.note(thing("10"))
    assert notes.get("a") is None


def test_a_write_does_not_hide_a_later_object_of_the_name() -> None:
    source, notes, _ = fresh()
    notes.note(thing("7", uid="old"))
    source.put(thing("6", uid="new"))
    assert notes.get("a") == thing("6", uid="new")
