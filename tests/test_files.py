"""Atomic file writes."""

import os
from pathlib import Path
from stat import S_IMODE

import pytest

from monopod.util.files import write_atomically


@pytest.mark.unit
def test_an_identical_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_atomically(path, b"one")
    was = path.stat()
    assert not write_atomically(path, b"one")
    assert path.stat() == was
    assert write_atomically(path, b"two")
    assert path.read_bytes() == b"two"


@pytest.mark.unit
def test_a_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path / "open", b"", mode=0o644)
        write_atomically(tmp_path / "closed", b"")
    finally:
        os.umask(before)
    assert S_IMODE((tmp_path / "open").stat().st_mode) == 0o644
    assert S_IMODE((tmp_path / "closed").stat().st_mode) == 0o600


@pytest.mark.unit
def test_another_mode_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"secret", mode=0o644)
    assert write_atomically(path, b"secret", mode=0o600)
    assert S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.unit
def test_a_reader_sees_the_old_or_the_new_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with path.open("rb") as reader:
        write_atomically(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.kernel
def test_the_owner_is_set_with_the_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"secret", owner=os.getuid())
    assert write_atomically(path, b"secret", owner=12345)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12345)


@pytest.mark.unit
def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    (path / "something").touch()
    with pytest.raises(OSError, match="directory"):
        write_atomically(path, b"content")
    assert list(tmp_path.iterdir()) == [path]
