import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.node.guest import DiskError, create_configuration_disk, create_data_disk
from monopod.node.guest.disks import configuration_archive
from monopod.util import process

_UID = 1_000_070_123

_names = st.text("abcdefghij-_.", min_size=1, max_size=20).filter(lambda name: name.strip("."))
_paths = st.lists(_names, min_size=1, max_size=3).map("/".join)


@pytest.fixture
async def template(tmp_path: Path) -> Path:
    """A small file system in a file of the template's size."""
    path = tmp_path / "template.img"
    await process.run("mkfs.ext4", "-q", "-O", "^has_journal", path, "20G")
    return path


@pytest.mark.unit
@given(files=st.dictionaries(_paths, st.binary(max_size=2000), max_size=5))
def test_a_configuration_disk_is_a_tar_archive_of_whole_sectors(files: dict[str, bytes]) -> None:
    content = configuration_archive(files)
    assert len(content) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {entry.name: archive.extractfile(entry) for entry in archive}
        assert {name: file.read() for name, file in found.items() if file} == files
        assert all(entry.mode == 0o600 for entry in archive)


@pytest.mark.kernel
def test_a_configuration_disk_is_its_machines_alone(tmp_path: Path) -> None:
    disk = tmp_path / "config.img"
    for _ in range(2):
        create_configuration_disk(disk, {"key": b"secret"}, _UID)
        status = disk.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (_UID, _UID, 0o400)


@pytest.mark.kernel
async def test_a_data_disk_is_a_sparse_copy_for_its_machine_alone(
    template: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "data.img"
    blocks = os.stat(template).st_blocks  # noqa: PTH116
    for _ in range(2):
        await create_data_disk(template, disk, 20, _UID)
        status = disk.stat()
        assert (status.st_uid, status.st_mode & 0o777) == (_UID, 0o600)
        assert status.st_size == 20 << 30
        assert status.st_blocks <= blocks
        await process.run("e2fsck", "-fn", disk)


@pytest.mark.kernel
async def test_a_larger_data_disk_has_a_larger_file_system(template: Path, tmp_path: Path) -> None:
    disk = tmp_path / "data.img"
    await create_data_disk(template, disk, 115, _UID)
    assert disk.stat().st_size == 115 << 30
    summary = await process.run("dumpe2fs", "-h", disk)
    fields = dict(line.split(":", 1) for line in summary.splitlines() if ":" in line)
    assert int(fields["Block count"]) * int(fields["Block size"]) == 115 << 30


@pytest.mark.unit
async def test_contents_survive_the_copy(tmp_path: Path) -> None:
    template = tmp_path / "template.img"
    with template.open("wb") as file:
        for offset in (0, 5 << 20, (20 << 30) - 4096):
            file.seek(offset)
            file.write(offset.to_bytes(8, "big") * 512)
    disk = tmp_path / "data.img"
    await create_data_disk(template, disk, 20, os.getuid())
    with disk.open("rb") as file:
        for offset in (0, 5 << 20, (20 << 30) - 4096):
            file.seek(offset)
            assert file.read(4096) == offset.to_bytes(8, "big") * 512
        file.seek(1 << 30)
        assert file.read(4096) == bytes(4096)


@pytest.mark.unit
async def test_without_a_template_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="missing"):
        await create_data_disk(tmp_path / "missing.img", tmp_path / "data.img", 20, _UID)
    assert not (tmp_path / "data.img").exists()
