"""The root directory of Monopod's images: Debian, the locked dependencies and Monopod's code.

What does not change with the code is in the cache.
"""

import asyncio
import hashlib
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import monopod
from monopod.install.image_cache import provide_directory
from monopod.node.guest.mmdebstrap import unpack
from monopod.settings import Settings
from monopod.util import process

LIBRARY: Final = Path("opt/monopod")
"""Where an image has the dependencies and the code."""
CODE: Final = Path(monopod.__file__).resolve().parent
PROJECT: Final = CODE.parents[1]
_PYTHON: Final = "3.13"
"""Of Debian's release."""
_EXCLUDED: Final = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
_FORMAT: Final = "1"
"""Version of the build; changes the cache key when the same inputs give another result."""


async def make_root(settings: Settings, packages: Sequence[str], root: Path) -> None:
    """Make a root directory.

    Args:
        settings: The installation, for its cache.
        packages: Names of Debian's packages.
        root: The directory, which does not exist yet.

    Raises:
        ImageBuildError: Debian's packages cannot be unpacked.
        ProcessError: Python's cannot, or the code cannot be compiled.
        OSError: The disk is full.
    """
    base = await _base(settings, packages)
    await asyncio.to_thread(root.parent.mkdir, parents=True, exist_ok=True)
    await process.run("cp", "-a", "--reflink=auto", base, root)
    own = LIBRARY / "monopod"
    await asyncio.to_thread(
        shutil.copytree, CODE, root / own, ignore=shutil.ignore_patterns("__pycache__")
    )
    await _compile(root, own)


async def _base(settings: Settings, packages: Sequence[str]) -> Path:
    """Return a root directory with everything but Monopod's code, from the cache if it is there."""
    key = await asyncio.to_thread(_base_key, packages)

    async def fill(work: Path) -> Path:
        root = work / "root"
        await _bootstrap(root, packages)
        await _add_libraries(root, work)
        return root

    return await provide_directory(settings.cache / "images" / f"monopod-base-{key}", fill)


async def _bootstrap(root: Path, packages: Iterable[str]) -> None:
    exclusions = (f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED)
    await unpack(root, packages, *exclusions)
    for name in ("var/cache/apt", "var/lib/apt/lists", "var/log"):
        await asyncio.to_thread(shutil.rmtree, root / name, ignore_errors=True)


async def _add_libraries(root: Path, scratch: Path) -> None:
    """Add the locked dependencies, compiled."""
    library = root / LIBRARY
    uv = Path(sys.executable).with_name("uv")
    locked = await process.run(
        *(uv, "export", "--frozen", "--no-dev", "--no-emit-project", "--quiet"), cwd=PROJECT
    )
    requirements = scratch / "requirements.txt"
    await asyncio.to_thread(requirements.write_text, locked)
    await process.run(
        *(uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
        *("--target", library, "--python-version", _PYTHON, "--only-binary", ":all:"),
        *("--requirement", requirements),
    )
    await _compile(root, LIBRARY)


async def _compile(root: Path, directory: Path) -> None:
    await process.run(
        *("chroot", root, "python3", "-m", "compileall", "-q"),
        *("--invalidation-mode", "unchecked-hash", f"/{directory}"),
    )


def _base_key(packages: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {tuple(packages)} {_PYTHON}".encode())
    digest.update((PROJECT / "uv.lock").read_bytes())
    return digest.hexdigest()[:16]
