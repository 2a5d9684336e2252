"""The images of Monopod itself, for clusters that are not the embedded one. Built into the cache.

``monopod/controllers`` has all of Monopod's processes; ``monopod/launcher`` has also the guest
image and what a launcher pod needs. Both are Debian with its Python, the locked dependencies and
this installation's code.
"""

import asyncio
import hashlib
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import monopod
from monopod.build import components
from monopod.build.components import store
from monopod.build.images.errors import BuildError
from monopod.build.images.write import ImageConfig, write_archive
from monopod.node.guest import GuestImage, provide
from monopod.node.guest.errors import ImageBuildError
from monopod.node.guest.mmdebstrap import unpack
from monopod.node.guest.pause import compile_program
from monopod.node.launcher.plan import PROGRAMS
from monopod.settings import Settings
from monopod.util import process
from monopod.util.progress import Progress, Report, ignore

CONTROLLERS: Final = "monopod/controllers"
LAUNCHER: Final = "monopod/launcher"
_LIBRARY: Final = Path("opt/monopod")
_PYTHON: Final = "3.13"
"""Of Debian's release."""
_PACKAGES: Final = ("ca-certificates", "iproute2", "libseccomp2", "nftables", "python3")
_USER: Final = "65532:65532"
_EXCLUDED: Final = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
_FORMAT: Final = "1"
"""Version of the build; changes the cache key when the same inputs give another result."""
_CODE: Final = Path(monopod.__file__).resolve().parent
_PROJECT: Final = _CODE.parents[1]
_STEPS: Final = 4


@dataclass(frozen=True, slots=True)
class MonopodImages:
    """Archives of both images, and their tag."""

    controllers: Path
    launcher: Path
    tag: str

    @property
    def references(self) -> tuple[tuple[str, Path], ...]:
        """Both images' names with their tag, and their archives."""
        return (
            (f"{CONTROLLERS}:{self.tag}", self.controllers),
            (f"{LAUNCHER}:{self.tag}", self.launcher),
        )


async def build_monopod_images(settings: Settings, report: Report = ignore) -> MonopodImages:
    """Return the images with the newest guest image, all of it from the cache if it is there.

    Args:
        settings: The installation, for its cache.
        report: Receives the progress.

    Raises:
        BuildError: The build failed; the message names what is missing.
        ComponentsError: Upstream's programs cannot be provided.
        GuestError: The guest image cannot be built.
    """
    programs = await components.provide(settings, report)
    pause_source = await components.pause_source(settings, report)
    guest = await provide(settings.cache, programs.directory, pause_source, report)
    key = await asyncio.to_thread(_key, guest)
    directory = settings.cache / "images" / f"monopod-{key}"
    images = MonopodImages(directory / "controllers.tar", directory / "launcher.tar", key)
    if directory.is_dir():
        return images
    partial = store.temporary_sibling(directory)

    def say(detail: str, done: int) -> None:
        report(Progress("images of Monopod", detail, done, _STEPS))

    try:
        root = partial / "root"
        say("fetching packages of Debian and Python", 0)
        await _copy(await _base(settings), root)
        say("adding Monopod", 1)
        await _install(root)
        say("writing monopod/controllers", 2)
        await _write(root, partial / images.controllers.name, f"{CONTROLLERS}:{key}")
        say("writing monopod/launcher", 3)
        await _add_machine(root, guest, pause_source)
        await _write(root, partial / images.launcher.name, f"{LAUNCHER}:{key}")
        await asyncio.to_thread(shutil.rmtree, root)
        store.publish(partial, directory)
    except (ImageBuildError, OSError, process.ProcessError) as error:
        raise BuildError(f"the images of Monopod cannot be built: {error}") from error
    finally:
        await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
    say("built", _STEPS)
    return images


async def _base(settings: Settings) -> Path:
    """Return a root directory with everything but Monopod's code, from the cache if it is there."""
    key = await asyncio.to_thread(_base_key)
    directory = settings.cache / "images" / f"monopod-base-{key}"
    if directory.is_dir():
        return directory
    partial = store.temporary_sibling(directory)
    try:
        await _bootstrap(partial / "root")
        await _add_libraries(partial / "root", partial)
        store.publish(partial / "root", directory)
    finally:
        await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
    return directory


async def _copy(directory: Path, root: Path) -> None:
    await asyncio.to_thread(root.parent.mkdir, parents=True, exist_ok=True)
    await process.run("cp", "-a", "--reflink=auto", directory, root)


async def _bootstrap(root: Path) -> None:
    exclusions = (f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED)
    await unpack(root, _PACKAGES, *exclusions)
    for name in ("var/cache/apt", "var/lib/apt/lists", "var/log"):
        await asyncio.to_thread(shutil.rmtree, root / name, ignore_errors=True)


async def _add_libraries(root: Path, scratch: Path) -> None:
    """Add the locked dependencies, compiled."""
    library = root / _LIBRARY
    uv = Path(sys.executable).with_name("uv")
    locked = await process.run(
        *(uv, "export", "--frozen", "--no-dev", "--no-emit-project", "--quiet"), cwd=_PROJECT
    )
    requirements = scratch / "requirements.txt"
    await asyncio.to_thread(requirements.write_text, locked)
    await process.run(
        *(uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
        *("--target", library, "--python-version", _PYTHON, "--only-binary", ":all:"),
        *("--requirement", requirements),
    )
    await _compile(root, _LIBRARY)


async def _install(root: Path) -> None:
    """Add this installation's code, compiled."""
    own = _LIBRARY / "monopod"
    await asyncio.to_thread(
        shutil.copytree, _CODE, root / own, ignore=shutil.ignore_patterns("__pycache__")
    )
    await _compile(root, own)


async def _compile(root: Path, directory: Path) -> None:
    await process.run(
        *("chroot", root, "python3", "-m", "compileall", "-q"),
        *("--invalidation-mode", "unchecked-hash", f"/{directory}"),
    )


async def _add_machine(root: Path, guest: GuestImage, pause_source: Path) -> None:
    machine = root / PROGRAMS.relative_to("/")
    await asyncio.to_thread(shutil.copytree, guest.gvisor, machine)
    await compile_program(pause_source, machine / "pause")


async def _write(root: Path, archive: Path, name: str) -> None:
    config = ImageConfig(
        environment={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": f"/{_LIBRARY}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        user=_USER,
    )
    await asyncio.to_thread(write_archive, root, archive, name=name, config=config)


def _key(guest: GuestImage) -> str:
    """Return the hash of the build's inputs, but for the versions of Debian's packages."""
    digest = hashlib.sha256(f"{_FORMAT} {_PACKAGES} {guest.hash}".encode())
    for path in (_PROJECT / "uv.lock", *_sources(_CODE)):
        digest.update(f"{path.relative_to(_PROJECT)}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _base_key() -> str:
    digest = hashlib.sha256(f"{_FORMAT} {_PACKAGES} {_PYTHON}".encode())
    digest.update((_PROJECT / "uv.lock").read_bytes())
    return digest.hexdigest()[:16]


def _sources(directory: Path) -> Iterable[Path]:
    return sorted(
        path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
