"""The images that Monopod ships, for the demo and for tests. Built once, into the cache."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from monopod.build.images import cached_archive, debian
from monopod.build.images.errors import BuildError
from monopod.build.images.write import ImageConfig
from monopod.settings import Settings
from monopod.util import process
from monopod.util.progress import Report, ignore

_PACKAGES: Final = ("busybox", "libc6")
_LIBRARIES: Final = ("ld-linux-x86-64.so.2", "libc.so.6", "libresolv.so.2")
"""glibc, which busybox is linked to. A static build could not resolve names."""
_FORMAT: Final = "3"
"""Version of the build; changes the cache key when the same inputs give another result."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """An image of busybox with all its applets, and additional files."""

    name: str
    config: ImageConfig
    files: tuple[tuple[str, str], ...] = ()
    """Path in the image: name of an executable in ``content``."""
    programs: tuple[tuple[str, str], ...] = ()
    """Path in the image: C source in ``content``."""


_DEMO: Final = _Recipe(
    name="monopod/demo:1",
    config=ImageConfig(
        entrypoint=("/bin/serve",),
        environment={"PATH": "/bin"},
        user="65534:65534",
        ports=("8080/tcp",),
    ),
    files=(("bin/serve", "serve.sh"), ("www/cgi-bin/index.cgi", "page.sh")),
)
_TEST: Final = _Recipe(
    name="monopod/test:1",
    config=ImageConfig(command=("sh",), environment={"PATH": "/bin"}),
    programs=(("bin/probe", "probe.c"),),
)


async def build_demo_image(settings: Settings | None = None, report: Report = ignore) -> Path:
    """Build a web page on port 8080 that shows which machine answers; returns an OCI archive.

    Raises:
        BuildError: The build failed; the message names what is missing.
    """
    return await _build(_DEMO, settings or Settings(), report)


async def build_test_image(settings: Settings | None = None, report: Report = ignore) -> Path:
    """Build busybox with all applets, and ``content/probe.c``; returns an OCI archive.

    Raises:
        BuildError: The build failed; the message names what is missing.
    """
    return await _build(_TEST, settings or Settings(), report)


async def _build(recipe: _Recipe, settings: Settings, report: Report) -> Path:
    packages = await debian.find(_PACKAGES)
    short = recipe.name.partition(":")[0].rpartition("/")[2]
    archive = settings.cache / "images" / f"{short}-{_key(recipe, packages)}" / f"{short}.tar"

    async def fill(work: Path) -> None:
        await _fill(recipe, packages, work)

    return await cached_archive.provide(archive, recipe.name, recipe.config, fill, report)


async def _fill(recipe: _Recipe, packages: Sequence[debian.Package], work: Path) -> None:
    """Create the image's root directory at ``work/root``."""
    root, unpacked = work / "root", work / "unpacked"
    _make_directories(root, unpacked)
    await debian.unpack(packages, unpacked, work)
    names = (await _busybox(unpacked, "--list")).split()
    _install_busybox(unpacked, root, names)
    for target, source in recipe.files:
        _install_file(_content(source), root / target)
    for target, source in recipe.programs:
        await _compile(source, root / target, work)
    _set_modes(root)


async def _compile(source: str, target: Path, work: Path) -> None:
    path = work / source
    _install_file(_content(source), path)
    try:
        await process.run("gcc", "-Os", "-Wall", "-static", "-s", "-o", target, path)
    except process.ProcessError as error:
        raise BuildError(f"cannot compile {source} (needs gcc, libc6-dev): {error}") from error


async def _busybox(unpacked: Path, *words: str) -> str:
    try:
        return await process.run(unpacked / "bin" / "busybox", *words)
    except process.ProcessError as error:
        raise BuildError(f"cannot run Debian's busybox on this host: {error}") from error


def _make_directories(root: Path, unpacked: Path) -> None:
    unpacked.mkdir()
    for name in ("bin", "etc", "home", "root", "tmp", "var", "www"):
        (root / name).mkdir(parents=True)
    (root / "etc" / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/sh\n"
    )
    (root / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")


def _install_busybox(unpacked: Path, root: Path, names: Sequence[str]) -> None:
    shutil.copy2(unpacked / "bin" / "busybox", root / "bin" / "busybox")
    for name in ("lib", "lib64"):
        (root / name).mkdir()
    for name in _LIBRARIES:
        shutil.copy2(unpacked / "lib" / "x86_64-linux-gnu" / name, root / "lib" / name)
    loader = "ld-linux-x86-64.so.2"
    (root / "lib64" / loader).symlink_to(f"../lib/{loader}")
    for name in names:
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")


def _install_file(content: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)


def _set_modes(root: Path) -> None:
    """Set modes that do not depend on the builder's umask."""
    for path in root.rglob("*"):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
    (root / "tmp").chmod(0o1777)


def _content(name: str) -> bytes:
    return files("monopod.build.images").joinpath("content", name).read_bytes()


def _key(recipe: _Recipe, packages: Sequence[debian.Package]) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {recipe}".encode())
    for package in packages:
        digest.update(package.sha256.encode())
    for _, source in (*recipe.files, *recipe.programs):
        digest.update(hashlib.sha256(_content(source)).digest())
    return digest.hexdigest()[:16]
