"""The kernel of QEMU machines: Debian's own, and a small first file system made here.

Neither package is installed. Both are unpacked beside the root image, because installing a kernel
would run its hooks and bring an initramfs generator along, and because machines take the kernel
from their VMM and never from their disk.
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

_KERNEL: Final = "linux-image-cloud-amd64"
"""Always depends on one kernel package, whose name has the version."""
_BUSYBOX: Final = "busybox-static"
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
"""All that guests load, each after what it depends on. Extended file systems, PCI and IPv6 are
built in; overlay and veth, which UML loads from its root, are here so that one root serves both."""
_DIRECTORIES: Final = ("bin", "dev", "modules", "proc", "root")
_INIT: Final = Path(__file__).parent / "initramfs/init"


def download_hook(directory: Path) -> str:
    """A hook for mmdebstrap that downloads the packages as they are, checked like all others."""
    return (
        f"cd {shlex.quote(str(directory))} && export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG && "
        f"apt-get -qq -o APT::Sandbox::User=root download {_BUSYBOX} "
        f"$(apt-cache depends --important {_KERNEL} | sed -n 's/^ *Depends: //p')"
    )


async def list_packages(downloads: Path) -> str:
    """What was downloaded, one ``name version`` a line."""
    listing = [
        await process.run("dpkg-deb", "--show", "--showformat", "${Package} ${Version}\n", package)
        for package in await asyncio.to_thread(_packages, downloads)
    ]
    return "".join(listing)


async def extract(downloads: Path, directory: Path) -> None:
    """Take the kernel out of the downloaded packages and make its first file system.

    Raises:
        ImageBuildError: A package or something in it is missing.
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
    """Not compressed: unpacking would cost more of a boot than reading three megabytes."""
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
        raise ImageBuildError(f"Debian's kernel packages hold {len(found)} times {pattern}")
    return found[0]
