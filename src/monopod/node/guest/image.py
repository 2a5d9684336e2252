"""The guest image: one directory in the cache, named by a hash of all its inputs.

It contains what all machines share: a read-only root file system, a stock kernel for each driver,
and the template of the data disks.
"""

import asyncio
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.build import build_cache
from monopod.node.guest import (
    data_template,
    gvisor,
    pause,
    qemu_kernel,
    root,
    uml_kernel,
    updates,
)
from monopod.node.guest.errors import ImageBuildError
from monopod.node.vmm.uml import REGISTERS
from monopod.util.progress import Progress, Report, ignore

TASK: Final = "guest image"
PROGRAMS: Final = ("kubelet", "containerd", "containerd-shim-runc-v2", "runc")
"""Component binaries that every guest runs."""
CNI_PLUGINS: Final = ("pod-link", "ptp", "host-local")
_OTHERS: Final = ("ctr", gvisor.PROGRAM)
"""Component binaries that only the build or a driver needs."""
_RECIPE: Final = (
    "cpio.py",
    "gvisor.py",
    "image.py",
    "mmdebstrap.py",
    "oom_killer.c",
    "pause.py",
    "root.py",
    "specification.py",
    "qemu_kernel.py",
    "registers.c",
    "data_template.py",
    "uml_kernel.py",
)
_CONTENTS: Final = ("files", "initramfs")
_STEPS: Final = 7


@dataclass(frozen=True, slots=True)
class UmlKernel:
    """The stock User Mode Linux kernel and its libraries."""

    directory: Path
    """Contains the kernel, its loader and its libraries, laid out as a jail's root."""

    @property
    def file(self) -> Path:
        """The kernel; in the jail it is ``/linux``."""
        return self.directory / "linux"

    @property
    def registers(self) -> Path:
        """The library that is preloaded into it (``registers.c``)."""
        return self.directory / REGISTERS


@dataclass(frozen=True, slots=True)
class QemuKernel:
    """Debian's cloud kernel and its initramfs."""

    directory: Path

    @property
    def kernel(self) -> Path:
        """For ``-kernel``."""
        return self.directory / "kernel"

    @property
    def initramfs(self) -> Path:
        """For ``-initrd``."""
        return self.directory / "initramfs"


@dataclass(frozen=True, slots=True)
class GuestImage:
    """A finished image. All users may read its files, but perhaps not enter the cache."""

    directory: Path
    hash: str
    """Sixteen hexadecimal digits of the hash of all inputs."""

    @property
    def root_image(self) -> Path:
        """The ext4 root file system that all machines share, read-only."""
        return self.directory / "root.img"

    @property
    def data_template(self) -> Path:
        """A sparse ext4 file system: ``/var`` of a new machine."""
        return self.directory / "data.img"

    @property
    def uml(self) -> UmlKernel:
        """The kernel for the ``uml`` driver."""
        return UmlKernel(self.directory / "uml")

    @property
    def qemu(self) -> QemuKernel:
        """The kernel for the ``qemu`` driver."""
        return QemuKernel(self.directory / "qemu")

    @property
    def gvisor(self) -> Path:
        """The directory for the ``gvisor`` driver: ``runsc`` and the EROFS root file system."""
        return self.directory / "gvisor"

    @property
    def packages(self) -> Path:
        """The Debian packages in the image with their versions, one a line."""
        return self.directory / "packages"


async def provide(
    cache: Path,
    components: Path,
    pause_source: Path,
    report: Report = ignore,
    *,
    refresh: bool = False,
) -> GuestImage:
    """Return the guest image, building it (a minute) if it is not in the cache.

    The versions of its packages are those that the archive had when it was asked last.

    Args:
        cache: Directory of build results.
        components: Directory of upstream programs by name.
        pause_source: Upstream's ``pause.c``.
        report: Called with the build's progress.
        refresh: Ask the archive for newer packages; it is asked anyway if it never was.

    Raises:
        ImageBuildError: It cannot be built on this host; the message says what is missing.
    """
    parent = cache / "guest"
    try:
        versions = updates.known(cache)
        if refresh or not versions:
            # What is missing on this host is found before the network is used.
            await asyncio.to_thread(_digest, components, pause_source, versions)
            report(Progress(TASK, "asking Debian's archive for versions"))
            versions = await updates.refresh(cache)
        digest = await asyncio.to_thread(_digest, components, pause_source, versions)
        image = GuestImage(parent / digest, digest)
        if image.directory.is_dir():
            report(Progress(TASK, "in the cache", _STEPS, _STEPS))
            return image
        async with build_cache.lock(parent, report, TASK):
            if not image.directory.is_dir():
                await _build(image, components, pause_source, report)
    except OSError as error:
        raise ImageBuildError(f"the guest image cannot be built: {error}") from error
    return image


def _digest(components: Path, pause_source: Path, versions: str) -> str:
    """Return the hash of all inputs: programs, packages, our files, the code of the build."""
    digest = hashlib.sha256(versions.encode())
    here = Path(__file__).parent
    files = sorted(
        path for name in _CONTENTS for path in (here / name).rglob("*") if path.is_file()
    )
    ours = [*(here / name for name in _RECIPE), *files]
    programs = [components / name for name in (*PROGRAMS, *CNI_PLUGINS, *_OTHERS)]
    for path in (*ours, *programs, pause_source):
        name = path.relative_to(here) if path.is_relative_to(here) else path.name
        digest.update(f"{name}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


async def _build(image: GuestImage, components: Path, pause_source: Path, report: Report) -> None:
    def say(detail: str, done: int) -> None:
        report(Progress(TASK, detail, done, _STEPS))

    with build_cache.building(image.directory) as directory:
        partial = GuestImage(directory, image.hash)
        tree = directory / "root"
        downloads = directory / "downloads"
        downloads.mkdir()
        say("fetching Debian packages", 0)
        await root.bootstrap(tree, qemu_kernel.download_hook(downloads), lambda line: say(line, 0))
        listing = await root.list_packages(tree) + await qemu_kernel.list_packages(downloads)
        await asyncio.to_thread(partial.packages.write_text, listing)
        say("taking the kernels out", 1)
        await uml_kernel.extract(tree, partial.uml.directory)
        await qemu_kernel.extract(downloads, partial.qemu.directory)
        await asyncio.to_thread(shutil.rmtree, downloads)
        say("adding upstream's programs", 2)
        await root.install_files(tree, components, PROGRAMS, CNI_PLUGINS)
        await gvisor.add_oom_killer(tree)
        say("writing the root file system", 3)
        await root.write(tree, partial.root_image)
        say("compiling the pause program", 4)
        pause_image = await pause.build(pause_source, directory)
        say("preparing containerd's store in a first boot", 5)
        await data_template.build_data_template(
            kernel=partial.uml.directory,
            root_image=partial.root_image,
            data_image=partial.data_template,
            ctr=components / "ctr",
            image=pause_image,
            log=directory / "bake.log",
        )
        say("writing the root file system for gVisor", 6)
        await gvisor.build(tree, partial.data_template, components, partial.gvisor)
        await asyncio.to_thread(shutil.rmtree, tree)
        await asyncio.to_thread(_publish, partial, image)
    say("done", _STEPS)


def _publish(partial: GuestImage, image: GuestImage) -> None:
    (partial.directory / "pause").unlink()
    for path in (partial.root_image, partial.data_template):
        path.chmod(0o444)
    build_cache.publish(partial.directory, image.directory)
