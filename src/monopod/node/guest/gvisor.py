"""Builds what the ``gvisor`` driver starts from: ``runsc`` and the root file system as EROFS.

gVisor mounts EROFS itself, and all machines map one file. Debian's stock kernel for User Mode Linux
has no EROFS, so the other drivers keep an ext4 image of the same tree. There ``/var`` starts as a
copy of the data disk's template; here the template's files are in the root image, and init copies
them.
"""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

from monopod.node.guest.errors import ImageBuildError
from monopod.node.guest.mmdebstrap import EPOCH
from monopod.util import process

PROGRAM: Final = "runsc"
ROOT_IMAGE: Final = "root.erofs"
_TEMPLATE: Final = "usr/local/share/var"
_UUID: Final = "6d6f6e6f-706f-4400-8000-65726f667300"


async def add_oom_killer(tree: Path) -> None:
    """Compile the guest's memory watcher.

    Raises:
        ImageBuildError: It does not compile: the C compiler or static C library is missing.
    """
    source = Path(__file__).with_name("oom_killer.c")
    target = tree / "usr/local/libexec/gvisor/oom-killer"
    try:
        await process.run("gcc", "-Os", "-Wall", "-static", "-s", "-o", target, source)
    except process.ProcessError as error:
        raise ImageBuildError(f"the guest's OOM killer does not compile: {error}") from error


async def build(tree: Path, template: Path, components: Path, directory: Path) -> None:
    """Write the driver's files.

    Args:
        tree: The root file system's files.
        template: The data disk's template.
        components: Directory of upstream programs by name.
        directory: Where the files are written.

    Raises:
        ImageBuildError: No space is left, or ``mkfs.erofs`` or ``debugfs`` is missing.
    """
    target = tree / _TEMPLATE
    for each in (directory, target):
        await asyncio.to_thread(each.mkdir, parents=True)
    await asyncio.to_thread(shutil.copy, components / PROGRAM, directory / PROGRAM)
    try:
        await process.run("debugfs", "-R", f"rdump / {target}", template)
        await asyncio.to_thread(shutil.rmtree, target / "lost+found", ignore_errors=True)
        await process.run(
            *("mkfs.erofs", "-d0", "-T", EPOCH, "-U", _UUID),
            # gVisor maps files; it cannot map what is packed into an inode.
            *("-E", "noinline_data"),
            *(directory / ROOT_IMAGE, tree),
            env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH},
        )
    except process.ProcessError as error:
        raise ImageBuildError(f"the EROFS image cannot be written: {error}") from error
