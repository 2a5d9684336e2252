"""Prebuilt programs are used unchanged, once they are verified."""

import shutil
from pathlib import Path

import pytest

from monopod.build.components import Component, PrebuiltError, provide, verify
from monopod.settings import Settings

pytestmark = pytest.mark.kernel


@pytest.fixture
async def prebuilt(settings: Settings, hello: Component, tmp_path: Path) -> Path:
    """A directory of correct programs."""
    built = await provide(settings, components=[hello])
    directory = tmp_path / "prebuilt"
    directory.mkdir()
    for name in ("salute", "greet"):
        shutil.copy(built.program(name), directory)
    return directory


def _with(settings: Settings, directory: Path) -> Settings:
    return settings.model_copy(update={"components": directory})


async def test_prebuilt_programs_are_used(
    settings: Settings, hello: Component, prebuilt: Path
) -> None:
    for _ in range(2):
        components = await provide(_with(settings, prebuilt), components=[hello])
        await verify(components)
        assert components.directory.name.startswith("prebuilt-")
        assert components.program("greet").read_bytes() == (prebuilt / "greet").read_bytes()


async def test_one_binary_may_provide_several(
    settings: Settings, hello: Component, prebuilt: Path
) -> None:
    (prebuilt / "salute").rename(prebuilt / "hello")
    (prebuilt / "greet").unlink()
    components = await provide(_with(settings, prebuilt), components=[hello])
    assert components.program("salute").samefile(components.program("greet"))


async def test_all_missing_programs_are_named_at_once(
    settings: Settings, hello: Component, tmp_path: Path
) -> None:
    with pytest.raises(PrebuiltError, match="salute is missing; greet is missing"):
        await provide(_with(settings, tmp_path / "nowhere"), components=[hello])


async def test_a_program_that_is_not_executable(
    settings: Settings, hello: Component, prebuilt: Path
) -> None:
    (prebuilt / "greet").chmod(0o644)
    with pytest.raises(PrebuiltError, match="greet is not executable"):
        await provide(_with(settings, prebuilt), components=[hello])


async def test_a_wrong_version(settings: Settings, hello: Component, prebuilt: Path) -> None:
    (prebuilt / "greet").write_text("#!/bin/sh\necho greet 1.2.2 hello\n")
    with pytest.raises(PrebuiltError, match=r"greet should report 'greet 1\.2\.3 hello'"):
        await provide(_with(settings, prebuilt), components=[hello])


async def test_a_program_that_does_not_run(
    settings: Settings, hello: Component, prebuilt: Path
) -> None:
    (prebuilt / "greet").write_text("#!/bin/sh\necho no such machine >&2\nexit 1\n")
    with pytest.raises(PrebuiltError, match=r"greet does not run: .*no such machine"):
        await provide(_with(settings, prebuilt), components=[hello])


async def test_a_later_change_is_verified_again(
    settings: Settings, hello: Component, prebuilt: Path
) -> None:
    await provide(_with(settings, prebuilt), components=[hello])
    (prebuilt / "greet").unlink()
    with pytest.raises(PrebuiltError, match="greet is missing"):
        await provide(_with(settings, prebuilt), components=[hello])
