import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap

from monopod.kube.store import Added, Change, Deleted, Modified, Store

pytestmark = pytest.mark.unit


def thing(name: str, uid: str = "u", version: str = "1") -> ConfigMap:
    metadata = ObjectMeta(name=name, namespace="ns", uid=uid, resourceVersion=version)
    return ConfigMap(metadata=metadata)


def test_an_unchanged_version_is_no_change() -> None:
    store: Store[ConfigMap] = Store()
    first, second = thing("a"), thing("a", version="2")
    assert store.put(first) == [Added("ns/a", first)]
    assert store.put(thing("a")) == []
    assert store.put(second) == [Modified("ns/a", second, first)]
    assert store.remove(second) == [Deleted("ns/a", second)]
    assert store.remove(second) == []


def test_an_object_with_another_uid_is_another_object() -> None:
    store: Store[ConfigMap] = Store()
    old, new = thing("a"), thing("a", uid="v", version="2")
    store.put(old)
    assert store.put(new) == [Deleted("ns/a", old), Added("ns/a", new)]


def test_a_new_list_finds_deletions() -> None:
    store: Store[ConfigMap] = Store()
    a, b, c = thing("a"), thing("b"), thing("c", version="3")
    store.put(a)
    store.put(b)
    newer = thing("b", version="2")
    changes = store.replace({"ns/b": newer, "ns/c": c})
    assert changes == [Deleted("ns/a", a), Modified("ns/b", newer, b), Added("ns/c", c)]


_things = st.builds(
    thing, st.sampled_from("abc"), st.sampled_from("uv"), st.sampled_from(["1", "2"])
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _things),
        st.tuples(st.just("remove"), _things),
        st.tuples(st.just("list"), st.lists(_things, max_size=3)),
    ),
    max_size=20,
)


def _follow(known: dict[str, ConfigMap], change: Change[ConfigMap]) -> None:
    match change:
        case Added():
            assert change.key not in known, "added what was there"
            known[change.key] = change.object
        case Modified():
            assert known[change.key] == change.old
            known[change.key] = change.object
        case Deleted():
            del known[change.key]


@given(_steps)
def test_applying_the_changes_gives_the_store_s_content(
    steps: list[tuple[str, ConfigMap | list[ConfigMap]]],
) -> None:
    store: Store[ConfigMap] = Store()
    known: dict[str, ConfigMap] = {}
    for verb, what in steps:
        if isinstance(what, list):
            listed = {f"ns/{obj.metadata.name}": obj for obj in what if obj.metadata}
            changes = store.replace(listed)
        else:
            changes = store.put(what) if verb == "put" else store.remove(what)
        for change in changes:
            _follow(known, change)
        assert known == dict(store.objects)
