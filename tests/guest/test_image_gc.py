"""What stays in the cache and what goes."""

import os
from pathlib import Path

import pytest

from monopod.node.guest.image_gc import KEPT, pin, prune

pytestmark = pytest.mark.unit


def _images(parent: Path, count: int) -> list[Path]:
    """Images, the first used last."""
    made: list[Path] = []
    for age in range(count):
        image = parent / f"image{age}"
        (image / "uml").mkdir(parents=True)
        (image / "uml/linux").write_bytes(b"kernel")
        os.utime(image, (1_000_000 - age, 1_000_000 - age))
        made.append(image)
    return made


def test_the_last_used_stay(tmp_path: Path) -> None:
    images = _images(tmp_path, KEPT + 3)
    prune(images[-1])
    assert sorted(tmp_path.iterdir()) == sorted([*images[: KEPT - 1], images[-1]])


def test_what_was_used_today_stays(tmp_path: Path) -> None:
    images = _images(tmp_path, KEPT + 2)
    for image in images:
        os.utime(image)
    prune(images[0])
    assert sorted(tmp_path.iterdir()) == images


def test_a_pinned_image_is_kept_until_unpinned(tmp_path: Path) -> None:
    images = _images(tmp_path, KEPT + 2)
    with pin(images[-1]), pin(images[-1]):
        prune(images[0])
        assert sorted(tmp_path.iterdir()) == sorted([*images[:KEPT], images[-1]])
    prune(images[0])
    assert sorted(tmp_path.iterdir()) == images[:KEPT]


def test_what_is_being_built_and_what_is_no_image_stays(tmp_path: Path) -> None:
    images = _images(tmp_path, KEPT)
    unfinished, lock = tmp_path / ".image9.abcd", tmp_path / ".lock"
    unfinished.mkdir()
    lock.touch()
    prune(images[0])
    assert sorted(tmp_path.iterdir()) == sorted([*images, unfinished, lock])


def test_other_families_stay(tmp_path: Path) -> None:
    old = _images(tmp_path, KEPT)
    machines = [tmp_path / f"monopod-linux-{each.name}" for each in old]
    controllers = [tmp_path / f"monopod-{each.name}" for each in old]
    for place in (*machines, *controllers):
        place.mkdir()
        os.utime(place, (1, 1))
    newest = tmp_path / "monopod-new"
    newest.mkdir()
    prune(newest)
    left = {each.name for each in tmp_path.iterdir()}
    assert {each.name for each in (*old, *machines, newest)} <= left
    assert len([each for each in controllers if each.name in left]) == KEPT - 1


def test_a_missing_image_cannot_be_pinned(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), pin(tmp_path / "gone"):
        pass
