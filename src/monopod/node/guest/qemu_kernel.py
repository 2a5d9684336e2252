"""Extracts the kernel of QEMU machines, Debian's, and builds its initramfs.

Neither package is installed. Both are unpacked outside the root image, because installing a kernel
would run its hooks and add an initramfs generator, and because machines get the kernel from their
VMM and never from their disk.
"""

import asyncio
import lzma
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from monopod.node.guest import cpio
from monopod.node.guest.errors import ImageBuildError
from monopod.util import process

METAPACKAGE: Final = "linux-image-cloud-amd64"
"""Metapackage that depends on one kernel package, whose name has the version."""
_BUSYBOX: Final = "busybox-static"
ARCHIVE_PACKAGES: Final = (_BUSYBOX, METAPACKAGE)
"""The packages whose versions name what is downloaded."""
_MODULES: Final = (
    "virtio_mmio",
    "virtio_blk",
    "virtio-rng",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_balloon",
    "overlay",
    "veth",
)
"""All modules that guests load, in order of dependency. ext4, PCI and IPv6 are built in; overlay
and veth, which UML loads from its root, are here so that one root serves both drivers."""
_DIRECTORIES: Final = ("bin", "dev", "modules", "proc", "root")
_INIT: Final = Path(__file__).parent / "initramfs/init"


def download_hook(directory: Path) -> str:
    """Return an mmdebstrap hook that downloads the packages, verified like all others."""
    return (
        f"cd {shlex.quote(str(directory))} && export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG && "
        f"apt-get -qq -o APT::Sandbox::User=root download {_BUSYBOX} "
        f"$(apt-cache depends --important {METAPACKAGE} | sed -n 's/^ *Depends: //p')"
    )


async def list_packages(downloads: Path) -> str:
    """List the downloaded packages, one ``name version`` a line."""
    listing = [
        await process.run("dpkg-deb", "--show", "--showformat", "${Package} ${Version}\n", package)
        for package in await asyncio.to_thread(_packages, downloads)
    ]
    return "".join(listing)


async def extract(downloads: Path, directory: Path) -> None:
    """Extract the kernel from the downloaded packages and build its initramfs.

    Raises:
        ImageBuildError: A package or a file in it is missing.
    """
    tree = downloads / "tree"
    try:
        for package in await asyncio.to_thread(_packages, downloads):
            await process.run("dpkg-deb", "--extract", package, tree)
    except process.ProcessError as error:
        raise ImageBuildError(f"Debian's kernel cannot be unpacked: {error}") from error
    await asyncio.to_thread(_take, tree, directory)


def _packages(downloads: Path) -> list[Path]:
    return sorted(downloads.glob("*.deb"))


def _take(tree: Path, directory: Path) -> None:
    busybox = _one(tree, "usr/bin/busybox")
    modules = [_one(tree, f"usr/lib/modules/*/kernel/**/{name}.ko.xz") for name in _MODULES]
    directory.mkdir()
    shutil.copyfile(_one(tree, "boot/vmlinuz-*"), directory / "kernel")
    (directory / "initramfs").write_bytes(_first_file_system(busybox, modules))


def _first_file_system(busybox: Path, modules: Sequence[Path]) -> bytes:
    """Return the initramfs, uncompressed: reading 3 MB takes less time than decompression."""
    files = {
        "bin/busybox": cpio.File(busybox.read_bytes(), 0o755),
        "init": cpio.File(_INIT.read_bytes(), 0o755),
    }
    for number, path in enumerate(modules):
        content = lzma.decompress(path.read_bytes())
        files[f"modules/{number:02}-{path.name.removesuffix('.xz')}"] = cpio.File(content)
    return cpio.archive(_DIRECTORIES, files)


def _one(tree: Path, pattern: str) -> Path:
    found = sorted(tree.glob(pattern))
    if len(found) != 1:
        raise ImageBuildError(f"Debian's kernel packages have {len(found)} files {pattern}, not 1")
    return found[0]
