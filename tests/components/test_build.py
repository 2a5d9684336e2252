"""Components are built once, from pinned sources, and only verified results are kept."""

import asyncio
import dataclasses
import os
from pathlib import Path

import pytest

from monopod.build.components import BuildError, Component, ComponentsError, provide, verify
from monopod.settings import Settings
from monopod.util.progress import Progress, ignore

pytestmark = pytest.mark.kernel


def _builds(said: list[Progress]) -> int:
    return sum(one.detail == "built" for one in said)


async def _have(
    settings: Settings, component: Component, said: list[Progress] | None = None
) -> Path:
    report = ignore if said is None else said.append
    components = await provide(settings, report, components=[component])
    await verify(components)
    return components.directory


def _everything(settings: Settings) -> set[str]:
    return {path.name for path in (settings.cache / "components").iterdir()}


async def test_programs_know_their_names(settings: Settings, hello: Component) -> None:
    directory = await _have(settings, hello)
    assert {path.name for path in directory.iterdir()} == {"salute", "greet", "manifest.json"}
    assert (directory / "salute").samefile(directory / "greet")


async def test_a_second_time_builds_nothing(settings: Settings, hello: Component) -> None:
    said: list[Progress] = []
    first = await _have(settings, hello, said)
    assert _builds(said) == 1
    assert await _have(settings, hello, said) == first
    assert _builds(said) == 1


async def test_two_at_once_build_once(settings: Settings, hello: Component) -> None:
    said: list[Progress] = []
    first, second = await asyncio.gather(_have(settings, hello, said), _have(settings, hello, said))
    assert first == second
    assert _builds(said) == 1
    assert any("waiting for another build" in one.detail for one in said)


async def test_changed_sources_and_flags_are_built_apart(
    settings: Settings, hello: Component
) -> None:
    first = await _have(settings, hello)
    tagged = await _have(settings, dataclasses.replace(hello, tags=("other",)))
    source = hello.directory / "main.go"
    source.write_text(source.read_text() + "\n// Changed.\n")
    changed = await _have(settings, hello)
    assert len({first, tagged, changed}) == 3


async def test_progress_only_rises(settings: Settings, hello: Component) -> None:
    said: list[Progress] = []
    await _have(settings, hello, said)
    counted = [one.done for one in said if one.total]
    assert counted == sorted(counted)
    assert said[-1].percent == 100


@pytest.mark.parametrize("program", ["salute", "greet"])
async def test_a_changed_program_is_noticed_and_built_again(
    settings: Settings, hello: Component, program: str
) -> None:
    directory = await _have(settings, hello)
    components = await provide(settings, components=[hello])
    with (directory / program).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ComponentsError, match=f"{program} is missing or has changed"):
        await verify(components)
    said: list[Progress] = []
    await _have(settings, hello, said)
    assert _builds(said) == 1


async def test_a_missing_program_is_put_back(settings: Settings, hello: Component) -> None:
    directory = await _have(settings, hello)
    (directory / "greet").unlink()
    said: list[Progress] = []
    await _have(settings, hello, said)
    assert (directory / "greet").exists()
    assert _builds(said) == 0


async def test_a_copied_cache_is_valid(settings: Settings, hello: Component) -> None:
    directory = await _have(settings, hello)
    for path in directory.iterdir():
        os.utime(path, (0, 0))
    said: list[Progress] = []
    await _have(settings, hello, said)
    assert _builds(said) == 0


async def test_a_failed_build_says_why_and_leaves_nothing(
    settings: Settings, hello: Component
) -> None:
    (hello.directory / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    with pytest.raises(BuildError, match=r"hello v1\.2\.3 does not build: (?s:.*)nonsense"):
        await provide(settings, components=[hello])
    assert _everything(settings) == {".lock"}


async def test_a_wrong_version_is_not_kept(settings: Settings, hello: Component) -> None:
    wrong = dataclasses.replace(hello, variables={"main.version": "9.9.9"})
    with pytest.raises(BuildError) as caught:
        await provide(settings, components=[wrong])
    assert "salute should report 'salute 1.2.3 hello' but reports 'salute 9.9.9 hello'" in str(
        caught.value
    )
    assert _everything(settings) == {".lock"}


async def test_leftovers_of_a_killed_builder_are_removed(
    settings: Settings, hello: Component
) -> None:
    left = settings.cache / "components" / ".hello-0123456789abcdef.cafe0000"
    left.mkdir(parents=True)
    await _have(settings, hello)
    assert not left.exists()


async def test_installing_links_files_and_is_idempotent(
    settings: Settings, hello: Component, tmp_path: Path
) -> None:
    components = await provide(settings, components=[hello])
    target = tmp_path / "bin"
    for _ in range(2):
        components.install(["salute", "greet"], target)
        assert {path.name for path in target.iterdir()} == {"salute", "greet"}
    assert (target / "salute").samefile(target / "greet")
    assert (target / "salute").samefile(components.program("salute"))
    with pytest.raises(ComponentsError, match="there is no program other"):
        components.program("other")
