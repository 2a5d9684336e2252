"""The sources that a component is built from: its folder, or a copy with a changed module."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Final

from monopod.build.components.catalogue import Component
from monopod.build.components.errors import BuildError
from monopod.build.components.toolchain import Toolchain
from monopod.util import process

_MODULE: Final = "changed"
_CHANGED: Final = (
    "\n// This file was changed by Monopod, see src/monopod/build/components/replacements.py.\n"
)
"""Required by the Apache License. At the end, so that lines keep upstream's numbers."""


async def prepare_sources(component: Component, toolchain: Toolchain, directory: Path) -> Path:
    """Return the directory to build a component in.

    Args:
        component: The component.
        toolchain: Downloads its module if that is changed.
        directory: Where a copy is made if the module is changed; it must not exist.

    Raises:
        BuildError: The module cannot be fetched, or it lacks what is to be replaced.
    """
    if not component.replacements:
        return component.directory
    try:
        answer = await process.run(
            *(toolchain.go, "mod", "download", "-json", component.module),
            env=toolchain.environment(cgo=component.cgo),
            cwd=component.directory,
        )
    except process.ProcessError as error:
        raise BuildError(f"cannot fetch the sources of {component.module}: {error}") from error
    await asyncio.to_thread(_copy, component, Path(json.loads(answer)["Dir"]), directory)
    return directory


def _copy(component: Component, module: Path, directory: Path) -> None:
    shutil.copytree(component.directory, directory)
    changed = directory / _MODULE
    # Not the modes of the module cache, which are read-only.
    shutil.copytree(module, changed, copy_function=shutil.copyfile)
    for path in (changed, *changed.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for each in component.replacements:
        file = changed / each.file
        content = file.read_text()
        if content.count(each.old) != 1:
            raise BuildError(
                f"{component.name} {component.version}: {each.file} does not have once what is to"
                f" be replaced: {each.old.strip()}"
            )
        file.write_text(content.replace(each.old, each.new))
    for name in {each.file for each in component.replacements}:
        with (changed / name).open("a") as file:
            file.write(_CHANGED)
    with (directory / "go.mod").open("a") as file:
        # Relative, so that the same sources give the same bytes.
        file.write(f"\nreplace {component.module} => ./{_MODULE}\n")
