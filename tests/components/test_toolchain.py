"""Which Go is used: the one on PATH if it is new enough, else one from the cache."""

import os
from pathlib import Path

import pytest

from monopod.build.components import Component, ToolchainError
from monopod.build.components.toolchain import find_toolchain
from monopod.util.progress import ignore

pytestmark = pytest.mark.unit


def _go(directory: Path, version: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "go"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("on_path", "chosen"),
    [
        ("go1.24", "go1.24"),
        ("go1.24.3", "go1.24.3"),
        ("go1.25rc1", "go1.25rc1"),
        ("go1.100", "go1.100"),
        ("go1.23.9", "go1.24.7"),
        ("go1.9", "go1.24.7"),
    ],
)
async def test_a_new_enough_go_on_path_is_used(
    tmp_path: Path, hello: Component, monkeypatch: pytest.MonkeyPatch, on_path: str, chosen: str
) -> None:
    _go(tmp_path / "bin", on_path)
    _go(tmp_path / "cache" / "go" / "1.24" / "go" / "bin", "go1.24.7")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    found = await find_toolchain([hello], tmp_path / "cache", ignore)
    assert found.version == chosen


async def test_no_toolchain_is_one_clear_error(
    tmp_path: Path, hello: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    # Neither installer may search anywhere, so that the test needs no network and does no harm.
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(ToolchainError, match=r"Go 1\.24 or newer is neither on PATH nor"):
        await find_toolchain([hello], tmp_path / "cache", ignore)
    assert [path.name for path in (tmp_path / "cache" / "go").iterdir()] == [".lock"]
