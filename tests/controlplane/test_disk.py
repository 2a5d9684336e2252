"""Disk usage of files and clusters."""

import os
from pathlib import Path

import pytest

from monopod.controlplane import disk
from monopod.settings import Settings

pytestmark = pytest.mark.unit

_MIB = 1 << 20


def _write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


def test_holes_count_nothing_and_hard_links_count_once(tmp_path: Path) -> None:
    _write(tmp_path / "a" / "file", _MIB)
    (tmp_path / "a" / "again").hardlink_to(tmp_path / "a" / "file")
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 30)
    assert _MIB <= disk.used(tmp_path) < 1.2 * _MIB


def test_each_part_of_a_cluster_is_listed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", cache=tmp_path / "cache")
    _write(settings.home / "registry" / "data" / "blob", 2 * _MIB)
    _write(settings.home / "machines" / "mvm-0123456789" / "data.img", _MIB)
    _write(settings.cache / "components" / "kubelet", 3 * _MIB)
    found = {each.what: each for each in disk.usage(settings)}
    assert {what: each.used_bytes >> 20 for what, each in found.items()} == {
        "images": 2,
        "machines' disks": 1,
        "cache": 3,
    }
    assert all(each.free_bytes > 0 for each in found.values())


def test_a_missing_directory_takes_nothing(tmp_path: Path) -> None:
    assert disk.used(tmp_path / "none") == 0
