"""Builds the Go programs that tests need, from modules in this directory."""

from pathlib import Path
from typing import Final

from monopod.build.components.catalogue import COMPONENTS
from monopod.build.components.toolchain import find_toolchain
from monopod.settings import Settings
from monopod.util import process
from monopod.util.progress import ignore

_HERE: Final = Path(__file__).parent
_PATIENCE_S: Final = 1800
"""On two cores, a first build of Kubernetes' packages takes a good part of it."""


async def build(module: str, program: Path, *, package: str = ".") -> None:
    """Build a static program of a module's, or of a module that it requires as a tool."""
    toolchain = await find_toolchain(COMPONENTS, Settings().cache, ignore)
    await process.run(
        *(toolchain.go, "build", "-trimpath", "-ldflags=-s -w", "-o", program, package),
        env=toolchain.environment(cgo=False),
        cwd=_HERE / module,
        timeout_s=_PATIENCE_S,
    )


async def directory_of(module: str, package: str) -> Path:
    """Return the source directory of a package that a module builds with."""
    toolchain = await find_toolchain(COMPONENTS, Settings().cache, ignore)
    output = await process.run(
        *(toolchain.go, "list", "-f", "{{.Dir}}", package),
        env=toolchain.environment(cgo=False),
        cwd=_HERE / module,
        timeout_s=_PATIENCE_S,
    )
    return Path(output.strip())
