"""Which pods use which images, and which images may be removed."""

from datetime import UTC, datetime

import pytest

from monopod.build.images.errors import ArchiveError, ImageInUseError, UnknownImageError
from monopod.build.images.stored import StoredImage
from monopod.build.images.use import Removal, Use, plan, use_of, users

pytestmark = pytest.mark.unit

_REGISTRY = "100.127.3.6:5000"
_A, _B, _C = (f"sha256:{each * 64}" for each in "abc")


def _image(repository: str, digest: str, *tags: str) -> StoredImage:
    now = datetime(2026, 11, 29, tzinfo=UTC)
    return StoredImage(repository, digest, tags, 1, now, None, frozenset())


_ONE = _image("team/app", _A, "1")
_TWO = _image("team/app", _B, "2", "latest")
_OLD = _image("team/app", _C)
_IMAGES = (_ONE, _TWO, _OLD)


def _uses(*references: str) -> Use:
    return use_of("default/web", _REGISTRY, [f"{_REGISTRY}/{each}" for each in references])


def test_a_pod_uses_the_images_of_spec_and_status() -> None:
    images = [
        f"{_REGISTRY}/team/app",
        f"{_REGISTRY}/team/app:1",
        f"{_REGISTRY}/team/app@{_A}",
        f"{_REGISTRY}/team/app:3@{_B}",
        "docker.io/library/nginx:1",
        "team/other:1",
        "NOT A REFERENCE",
    ]
    assert use_of("default/web", _REGISTRY, images) == Use(
        "default/web",
        frozenset({("team/app", "latest"), ("team/app", "1")}),
        frozenset({_A, _B}),
    )


def test_users_by_tag_and_by_digest() -> None:
    by_tag, by_digest = _uses("team/app:1"), _uses(f"team/app@{_A}")
    assert users(_ONE, "1", [by_tag]) == ("default/web",)
    assert users(_ONE, "1", [by_digest]) == ("default/web",)
    assert users(_TWO, "2", [by_tag, by_digest]) == ()


@pytest.mark.parametrize(
    ("reference", "removal"),
    [
        ("team/app:1", Removal(_ONE, ("1",), whole=True)),
        (f"{_REGISTRY}/team/app:1", Removal(_ONE, ("1",), whole=True)),
        ("team/app:2", Removal(_TWO, ("2",), whole=False)),
        ("team/app", Removal(_TWO, ("latest",), whole=False)),
        (f"team/app@{_B}", Removal(_TWO, ("2", "latest"), whole=True)),
        (f"team/app@{_C}", Removal(_OLD, (), whole=True)),
    ],
)
def test_a_reference_selects_its_image(reference: str, removal: Removal) -> None:
    assert plan([reference], _REGISTRY, _IMAGES, ()) == (removal,)


def test_removing_all_tags_removes_the_image() -> None:
    assert plan(["team/app:2", "team/app"], _REGISTRY, _IMAGES, ()) == (
        Removal(_TWO, ("2", "latest"), whole=True),
    )


@pytest.mark.parametrize(
    "reference",
    ["app:1", "team/app:3", f"team/other@{_A}", "elsewhere:5000/team/app:1"],
)
def test_an_unknown_image_is_named(reference: str) -> None:
    with pytest.raises(UnknownImageError, match=f"there is no image {reference} in the registry"):
        plan(["team/app:1", reference], _REGISTRY, _IMAGES, ())


@pytest.mark.parametrize("reference", ["", "App:1", "app@sha256:abc"])
def test_an_invalid_reference_is_rejected(reference: str) -> None:
    with pytest.raises(ArchiveError, match="is not a valid image name"):
        plan([reference], _REGISTRY, _IMAGES, ())


@pytest.mark.parametrize(
    ("removed", "used"),
    [
        ("team/app:1", "team/app:1"),
        ("team/app:1", f"team/app@{_A}"),
        ("team/app:2", "team/app:2"),
        (f"team/app@{_C}", f"team/app@{_C}"),
        (f"team/app@{_B}", "team/app:latest"),
    ],
)
def test_a_used_image_is_removed_only_by_force(removed: str, used: str) -> None:
    with pytest.raises(ImageInUseError, match=r"is used by default/web: .*--force"):
        plan([removed], _REGISTRY, _IMAGES, [_uses(used)])
    assert plan([removed], _REGISTRY, _IMAGES, [_uses(used)], force=True)


def test_a_tag_is_removed_while_its_image_runs_by_another() -> None:
    uses = [_uses("team/app:latest", f"team/app@{_B}")]
    assert plan(["team/app:2"], _REGISTRY, _IMAGES, uses) == (Removal(_TWO, ("2",), whole=False),)


def test_one_used_image_prevents_all_and_each_is_named() -> None:
    uses = [_uses("team/app:1"), use_of("kube-system/dns", _REGISTRY, [f"{_REGISTRY}/team/app:2"])]
    with pytest.raises(ImageInUseError) as caught:
        plan(["team/app:1", "team/app:2", f"team/app@{_C}"], _REGISTRY, _IMAGES, uses)
    assert "image team/app:1 is used by default/web" in str(caught.value)
    assert "image team/app:2 is used by kube-system/dns" in str(caught.value)
