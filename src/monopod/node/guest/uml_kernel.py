"""The User Mode Linux kernel of Debian's package, and what it needs to run in a jail."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

from monopod.node.guest.errors import ImageBuildError
from monopod.node.vmm.uml import REGISTERS
from monopod.util import process

_MODULES: Final = ("overlay", "veth", "ipv6", "crc-ccitt")
_FILES: Final = {
    "usr/bin/linux.uml": "linux",
    "usr/lib64/ld-linux-x86-64.so.2": "lib64/ld-linux-x86-64.so.2",
    "usr/lib/x86_64-linux-gnu/libc.so.6": "lib/x86_64-linux-gnu/libc.so.6",
}


async def extract(tree: Path, directory: Path) -> None:
    """Move the kernel and its C library out of a root file system, and add a library of our own.

    Modules that guests do not load are removed.

    Raises:
        ImageBuildError: The library does not compile: the C compiler or C library is missing.
    """
    await asyncio.to_thread(_move, tree, directory)
    await _compile_registers(directory / REGISTERS)


def _move(tree: Path, directory: Path) -> None:
    for source, target in _FILES.items():
        (directory / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy((tree / source).resolve(), directory / target)
    (tree / "usr/bin/linux.uml").unlink()
    shipped = next((tree / "usr/lib/uml/modules").iterdir())
    kept = tree / "usr/lib/modules" / shipped.name
    for path in shipped.rglob("*"):
        if path.suffix != ".ko" or path.stem in _MODULES:
            target = kept / path.relative_to(shipped)
            if path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, target)
    shutil.rmtree(tree / "usr/lib/uml")


async def _compile_registers(target: Path) -> None:
    source = Path(__file__).with_name("registers.c")
    try:
        await process.run("gcc", "-Os", "-Wall", "-shared", "-fPIC", "-s", "-o", target, source)
    except process.ProcessError as error:
        raise ImageBuildError(f"the kernel's library does not compile: {error}") from error
