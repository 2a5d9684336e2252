"""The file system of machines' disks, with a real loop device."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monopod.controlplane import machine_storage
from monopod.controlplane.errors import HostUnfitError
from monopod.util import process
from monopod.util.progress import ignore

pytestmark = pytest.mark.kernel

_MIB = 1 << 20


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    yield tmp_path
    await machine_storage.remove(tmp_path)
    assert not (tmp_path / "machines").is_mount()


def _allocated(path: Path) -> int:
    """Bytes that a file's blocks hold."""
    return path.stat().st_blocks * 512


def _fill(path: Path) -> None:
    with path.open("wb") as file:
        while True:
            file.write(bytes(_MIB))


@pytest.mark.row("S19")
async def test_full_machines_disks_leave_the_rest_of_the_home_its_room(home: Path) -> None:
    await machine_storage.ensure(home, 1, ignore)
    image = home / "machines.img"
    before = _allocated(image)
    with pytest.raises(OSError, match="No space left on device"):
        _fill(home / "machines" / "data.img")
    assert shutil.disk_usage(home / "machines").free < _MIB
    # The image holds all its blocks from the start. Free space of the whole host would not do:
    # other programs change it too.
    assert _allocated(image) == pytest.approx(before, abs=64 * _MIB)
    assert before == pytest.approx(1024 * _MIB, abs=64 * _MIB)


async def test_it_is_mounted_again_with_its_files_and_its_size(home: Path) -> None:
    await machine_storage.ensure(home, 1, ignore)
    (home / "machines" / "one").write_text("here")
    await machine_storage.remove(home)
    assert not (home / "machines" / "one").exists()
    for size_gib in (0, 1, 1):
        await machine_storage.ensure(home, size_gib, ignore)
        assert (home / "machines" / "one").read_text() == "here"
    # Machines of gVisor map programs from their disks.
    shutil.copy("/bin/true", home / "machines" / "true")
    await process.run(home / "machines" / "true")
    # Every machine's own user passes through.
    assert (home / "machines").stat().st_mode & 0o777 == 0o711
    with pytest.raises(HostUnfitError, match="cannot be changed: set 1"):
        await machine_storage.ensure(home, 2, ignore)


async def test_it_hides_no_machine(home: Path) -> None:
    (home / "machines" / "mvm-one").mkdir(parents=True)
    with pytest.raises(HostUnfitError, match="would hide their disks"):
        await machine_storage.ensure(home, 1, ignore)
    assert os.listdir(home / "machines") == ["mvm-one"]  # noqa: PTH208
    assert not (home / "machines.img").exists()


async def test_a_host_without_room_is_named_and_nothing_is_left(home: Path) -> None:
    with pytest.raises(HostUnfitError, match=r"MONOPOD_LOCAL_STORAGE_GIB=10000: .*No space"):
        await machine_storage.ensure(home, 10_000, ignore)
    assert os.listdir(home) == []  # noqa: PTH208


async def test_none_is_made_unless_asked_for(home: Path) -> None:
    await machine_storage.ensure(home, 0, ignore)
    assert os.listdir(home) == []  # noqa: PTH208
