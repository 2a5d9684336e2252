"""Images of one program."""

import tarfile
from pathlib import Path

import pytest

from monopod.build.images import build_program_image
from monopod.build.images.archive import open_archive
from monopod.settings import Settings

pytestmark = pytest.mark.unit


def _program(directory: Path, content: bytes = b"\x7fELF") -> Path:
    path = directory / "tool"
    path.write_bytes(content)
    return path


async def test_an_image_has_its_program_alone_and_runs_it_as_no_user(tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path / "cache")
    archive = await build_program_image(_program(tmp_path), "1.2", settings, ports=("10251/tcp",))
    with open_archive(archive) as opened:
        assert str(opened.image(None).name) == "monopod/tool:1.2"
    with tarfile.open(archive) as members:
        layer = max(members.getmembers(), key=lambda each: b"ELF" in _bytes(members, each))
        with tarfile.open(fileobj=members.extractfile(layer)) as files:
            (only,) = files.getmembers()
            assert (only.name, only.mode) == ("tool", 0o755)
        texts = [_bytes(members, each) for each in members.getmembers()]
    assert any(
        b'"Entrypoint":["/tool"]' in text and b'"User":"65534:65534"' in text for text in texts
    )


async def test_an_unchanged_program_is_archived_once_and_a_changed_one_again(
    tmp_path: Path,
) -> None:
    settings = Settings(cache=tmp_path / "cache")
    first = await build_program_image(_program(tmp_path), "1.2", settings)
    written = first.stat().st_mtime_ns
    again = await build_program_image(_program(tmp_path), "1.2", settings)
    assert (again, again.stat().st_mtime_ns) == (first, written)
    other = await build_program_image(_program(tmp_path, b"\x7fELF2"), "1.2", settings)
    assert other != first
    assert sorted(path.name for path in first.parent.iterdir()) == [first.name]


def _bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(member)
    return content.read() if content else b""
