"""A module with replacements is copied and changed, or the build stops."""

import dataclasses
import json
from pathlib import Path

import pytest

from monopod.build.components import BuildError, Component
from monopod.build.components.build import content_key
from monopod.build.components.replacement import Replacement
from monopod.build.components.sources import prepare_sources
from monopod.build.components.toolchain import Toolchain

pytestmark = pytest.mark.unit

_CHANGE = Replacement("greeting.go", '"hello"', '"good day"')


@pytest.fixture
def toolchain(hello: Component, tmp_path: Path) -> Toolchain:
    """A ``go`` that knows where the module is, as in a read-only module cache."""
    module = hello.directory / "greeting"
    (module / "greeting.go").chmod(0o444)
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\necho '{json.dumps({'Dir': str(module)})}'\n")
    go.chmod(0o755)
    return Toolchain(go, "go1.26.8")


async def test_without_replacements_the_components_folder_is_built(
    hello: Component, toolchain: Toolchain, tmp_path: Path
) -> None:
    assert await prepare_sources(hello, toolchain, tmp_path / "copy") == hello.directory
    assert not (tmp_path / "copy").exists()


async def test_a_changed_module_is_used_in_place_of_the_pinned_one(
    hello: Component, toolchain: Toolchain, tmp_path: Path
) -> None:
    changed = dataclasses.replace(hello, replacements=(_CHANGE,))
    copy = await prepare_sources(changed, toolchain, tmp_path / "copy")
    content = (copy / "changed" / "greeting.go").read_text()
    assert 'Text = "good day"' in content
    assert content.endswith(
        "// This file was changed by Monopod, see src/monopod/build/components/replacements.py.\n"
    )
    assert (copy / "main.go").read_text() == (hello.directory / "main.go").read_text()
    assert (copy / "go.mod").read_text().endswith("replace example.com/greeting => ./changed\n")
    assert '"hello"' in (hello.directory / "greeting" / "greeting.go").read_text()


@pytest.mark.parametrize("text", ['"another"', "e"])
async def test_text_that_upstream_does_not_have_exactly_once_stops_the_build(
    hello: Component, toolchain: Toolchain, tmp_path: Path, text: str
) -> None:
    changed = dataclasses.replace(hello, replacements=(dataclasses.replace(_CHANGE, old=text),))
    with pytest.raises(BuildError, match=r"greeting\.go does not have once"):
        await prepare_sources(changed, toolchain, tmp_path / "copy")


def test_replacements_are_part_of_the_cache_key(hello: Component, toolchain: Toolchain) -> None:
    changed = dataclasses.replace(hello, replacements=(_CHANGE,))
    assert content_key(changed, toolchain) != content_key(hello, toolchain)
