"""The packed template of a data disk."""

from pathlib import Path

import pytest

from monopod.node.launcher import template
from monopod.node.launcher.plan import LauncherError
from monopod.util import process

pytestmark = pytest.mark.kernel


async def _template(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)
    await process.run("mkfs.ext4", "-q", "-O", "^has_journal", path)


async def test_holes_are_neither_packed_nor_unpacked(tmp_path: Path) -> None:
    source, archive = tmp_path / "data.img", tmp_path / "data.tar"
    await _template(source)
    await template.pack(source, archive)
    assert archive.stat().st_size < 32 << 20
    (tmp_path / "disks").mkdir()
    disk = tmp_path / "disks" / "disk.img"
    await template.unpack(archive, disk, 1)
    assert disk.stat().st_size == 1 << 30
    assert disk.stat().st_blocks * 512 < 64 << 20
    assert disk.stat().st_mode & 0o777 == 0o600
    await process.run("cmp", source, disk)


async def test_a_disk_is_as_large_as_requested(tmp_path: Path) -> None:
    source, archive = tmp_path / "data.img", tmp_path / "data.tar"
    await _template(source)
    await template.pack(source, archive)
    disk = tmp_path / "disk.img"
    await template.unpack(archive, disk, 3)
    shown = await process.run("dumpe2fs", "-h", disk)
    blocks = next(line for line in shown.splitlines() if line.startswith("Block count:"))
    assert int(blocks.split()[-1]) == (3 << 30) // 4096


async def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "data.tar"
    archive.write_text("no archive")
    with pytest.raises(LauncherError, match=r"disk\.img cannot be made"):
        await template.unpack(archive, tmp_path / "disk.img", 1)
