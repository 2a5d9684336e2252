"""The images of Monopod itself, for clusters that are not the embedded one. Built into the cache.

``monopod/controllers`` has all of Monopod's processes; ``monopod/launcher`` has also the guest
image and what the launcher pod of a gVisor machine needs, ``monopod/launcher-linux`` the same for
machines whose guests have a Linux kernel.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from monopod.build import components
from monopod.build.images.errors import BuildError
from monopod.build.images.write import ImageConfig, write_archive
from monopod.install.image_cache import provide_directory
from monopod.install.image_root import CODE, LIBRARY, PROJECT, make_root
from monopod.node.guest import GuestImage, provide
from monopod.node.guest.errors import ImageBuildError
from monopod.node.guest.pause import compile_program
from monopod.node.launcher import template
from monopod.node.launcher.plan import LINUX_ROOT, PROGRAMS, TEMPLATE
from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.qemu_command import FIRMWARE, INITRAMFS, KERNEL
from monopod.node.vmm.qemu_program import find_firmware
from monopod.node.vmm.uml import REGISTERS
from monopod.settings import Settings
from monopod.util import process
from monopod.util.progress import Progress, Report, ignore

CONTROLLERS: Final = "monopod/controllers"
LAUNCHER: Final = "monopod/launcher"
LAUNCHER_LINUX: Final = "monopod/launcher-linux"
_PACKAGES: Final = ("ca-certificates", "iproute2", "libseccomp2", "nftables", "python3")
_LINUX_PACKAGES: Final = (*_PACKAGES, "e2fsprogs", "libstdc++6", "qemu-system-x86", "seabios")
"""``libstdc++6`` is for gRPC."""
_FIRMWARE: Final = ("usr/share/qemu", "usr/share/seabios")
"""Where those packages have QEMU's firmware."""
_USER: Final = "65532:65532"
_FORMAT: Final = "2"
"""Version of the build; changes the cache key when the same inputs give another result."""
_COMMON_STEPS: Final = 3
_LINUX_STEPS: Final = 2


@dataclass(frozen=True, slots=True)
class MonopodImages:
    """Archives of the images, and their tag."""

    controllers: Path
    launcher: Path
    tag: str
    launcher_linux: Path | None = None
    """None means that it was not built."""

    @property
    def archives(self) -> Mapping[str, Path]:
        """All archives by the image's name without a tag."""
        made = {CONTROLLERS: self.controllers, LAUNCHER: self.launcher}
        if self.launcher_linux is not None:
            made[LAUNCHER_LINUX] = self.launcher_linux
        return made

    @property
    def references(self) -> Mapping[str, Path]:
        """All archives by the image's name with its tag."""
        return {f"{name}:{self.tag}": archive for name, archive in self.archives.items()}


async def build_monopod_images(
    settings: Settings, report: Report = ignore, *, linux: bool = False
) -> MonopodImages:
    """Return the images with the newest guest image, all of it from the cache if it is there.

    Args:
        settings: The installation, for its cache.
        report: Receives the progress.
        linux: Whether ``monopod/launcher-linux`` is one of them.

    Raises:
        BuildError: The build failed; the message names what is missing.
        ComponentsError: Upstream's programs cannot be provided.
        GuestError: The guest image cannot be built.
    """
    programs = await components.provide(settings, report)
    pause_source = await components.pause_source(settings, report)
    guest = await provide(settings.cache, programs.directory, pause_source, report)
    key = await asyncio.to_thread(_key, guest)
    steps = _COMMON_STEPS + (_LINUX_STEPS if linux else 0)
    build = _Build(settings, guest, pause_source, key, steps, report)
    try:
        common = await build.provide(f"monopod-{key}", build.common)
        images = MonopodImages(common / "controllers.tar", common / "launcher.tar", key)
        if linux:
            machine = await build.provide(f"monopod-linux-{key}", build.linux)
            images = replace(images, launcher_linux=machine / "launcher-linux.tar")
    except (ImageBuildError, VmmError, OSError, process.ProcessError) as error:
        raise BuildError(f"the images of Monopod cannot be built: {error}") from error
    build.say("built", steps)
    return images


@dataclass(frozen=True, slots=True)
class _Build:
    settings: Settings
    guest: GuestImage
    pause_source: Path
    key: str
    steps: int
    report: Report

    async def provide(self, name: str, fill: Callable[[Path], Awaitable[None]]) -> Path:
        """Return a directory of the cache, filled if it is not there."""

        async def archives(work: Path) -> Path:
            await fill(work)
            await asyncio.to_thread(shutil.rmtree, work / "root")
            return work

        return await provide_directory(self.settings.cache / "images" / name, archives)

    async def common(self, directory: Path) -> None:
        """Write the images of all controllers and of gVisor machines' launcher pods."""
        root = directory / "root"
        self.say("fetching packages of Debian and Python", 0)
        await make_root(self.settings, _PACKAGES, root)
        await self._write(root, directory / "controllers.tar", CONTROLLERS, 1)
        await asyncio.to_thread(shutil.copytree, self.guest.gvisor, _inside(root, PROGRAMS))
        await self._add_pause(root)
        await self._write(root, directory / "launcher.tar", LAUNCHER, 2)

    async def linux(self, directory: Path) -> None:
        """Write the image of launcher pods of machines whose guests have a Linux kernel."""
        root = directory / "root"
        self.say("fetching packages of Debian and Python", _COMMON_STEPS)
        await make_root(self.settings, _LINUX_PACKAGES, root)
        await asyncio.to_thread(self._add_kernels, root)
        await template.pack(self.guest.data_template, _inside(root, TEMPLATE))
        await self._add_pause(root)
        linux = directory / "launcher-linux.tar"
        await self._write(root, linux, LAUNCHER_LINUX, _COMMON_STEPS + 1)

    def _add_kernels(self, root: Path) -> None:
        """Add kernels and firmware where jails have them, and the guests' root file system."""
        firmware = find_firmware([root / each for each in _FIRMWARE])
        _inside(root, Path(FIRMWARE)).mkdir()
        _inside(root, PROGRAMS).mkdir()
        for source, target in (
            (self.guest.root_image, LINUX_ROOT),
            (self.guest.uml.file, Path("/linux")),
            (self.guest.uml.registers, Path("/", REGISTERS)),
            (self.guest.qemu.kernel, Path(KERNEL)),
            (self.guest.qemu.initramfs, Path(INITRAMFS)),
            *((path, Path(FIRMWARE, name)) for name, path in firmware.items()),
        ):
            shutil.copy(source, _inside(root, target))

    async def _add_pause(self, root: Path) -> None:
        await compile_program(self.pause_source, _inside(root, PROGRAMS) / "pause")

    async def _write(self, root: Path, archive: Path, image: str, step: int) -> None:
        self.say(f"writing {image}", step)
        config = ImageConfig(
            environment={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "PYTHONPATH": f"/{LIBRARY}",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            user=_USER,
        )
        name = f"{image}:{self.key}"
        await asyncio.to_thread(write_archive, root, archive, name=name, config=config)

    def say(self, detail: str, done: int) -> None:
        """Report how many steps are done, and what is next."""
        self.report(Progress("images of Monopod", detail, done, self.steps))


def _inside(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _key(guest: GuestImage) -> str:
    """Return the hash of the build's inputs, but for the versions of Debian's packages."""
    digest = hashlib.sha256(f"{_FORMAT} {_LINUX_PACKAGES} {guest.hash}".encode())
    for path in (PROJECT / "uv.lock", *_sources(CODE)):
        digest.update(f"{path.relative_to(PROJECT)}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _sources(directory: Path) -> Iterable[Path]:
    return sorted(
        path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
