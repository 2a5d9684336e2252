"""Finds the host's QEMU: its version, and the files that a jail needs to run it.

Only files that it loads are in the jail: the program, its libraries, its accelerator's module if
the distribution builds one, four firmware images.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.qemu_command import FIRMWARE, INITRAMFS, KERNEL, PROGRAM
from monopod.util import process

NAME: Final = "qemu-system-x86_64"
PACKAGE: Final = "qemu-system-x86"
OLDEST: Final = (7, 2)
_FIRMWARE: Final = ("bios-256k.bin", "bios-microvm.bin", "kvmvapic.bin", "linuxboot_dma.bin")
_LIBRARY: Final = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
_VERSION: Final = re.compile(r"version (\d+)\.(\d+)\S*")


@dataclass(frozen=True, slots=True)
class Program:
    """The files that a jail needs to run QEMU with a kernel."""

    files: dict[Path, Path]
    """Source files by path in the jail, without the leading slash."""


async def find_program(kernel: Path) -> Program:
    """Find all files that a jail needs.

    Args:
        kernel: Directory with the guest's ``kernel`` and ``initramfs``.

    Raises:
        VmmError: QEMU or a part of it is missing; the message names the package.
    """
    found = shutil.which(NAME)
    if found is None:
        raise VmmError(f"missing programs, install them: {NAME} (package {PACKAGE})")
    program = Path(found)
    try:
        modules = list(_modules())
        listing = "".join([await process.run("ldd", path) for path in (program, *modules)])
        shown = await process.run(program, "-L", "help")
    except process.ProcessError as error:
        raise VmmError(f"{program} does not run on this host: {error}") from error
    libraries = [Path(word) for word in _LIBRARY.findall(listing)]
    firmware = find_firmware([Path(line) for line in shown.splitlines()])
    placed = {
        Path(PROGRAM): program,
        Path(KERNEL): kernel / "kernel",
        Path(INITRAMFS): kernel / "initramfs",
        **{path: path for path in (*libraries, *modules)},
        **{Path(FIRMWARE, name): path for name, path in firmware.items()},
    }
    return _check(placed)


def check_version(shown: str) -> str:
    """Return the version in the output of ``--version``.

    Raises:
        VmmError: There is none, or it is too old.
    """
    match = _VERSION.search(shown)
    if match is None:
        raise VmmError(f"{NAME} does not print its version: {shown[:200]!r}")
    if (int(match[1]), int(match[2])) < OLDEST:
        wanted = ".".join(str(part) for part in OLDEST)
        raise VmmError(f"QEMU is {match[0].removeprefix('version ')}, too old: {wanted} is needed")
    return match[0].removeprefix("version ")


def _check(placed: dict[Path, Path]) -> Program:
    missing = [str(path) for path in placed.values() if not path.is_file()]
    if missing:
        raise VmmError(f"QEMU cannot run without {', '.join(missing)}")
    return Program({place.relative_to("/"): path.resolve() for place, path in placed.items()})


def _modules() -> Iterator[Path]:
    """Yield TCG's module, which Debian builds separately; QEMU loads it from a built-in path."""
    for library in (Path("/usr/lib"), Path("/usr/lib64")):
        yield from sorted(library.glob("*/qemu/accel-tcg-x86_64.so"))
        yield from sorted(library.glob("qemu/accel-tcg-x86_64.so"))


def find_firmware(directories: Sequence[Path]) -> Mapping[str, Path]:
    """Return QEMU's firmware by name, from the first of the directories that has it.

    Raises:
        VmmError: A part of it is in none.
    """
    found: dict[str, Path] = {}
    for name in _FIRMWARE:
        path = next((each / name for each in directories if (each / name).exists()), None)
        if path is None:
            raise VmmError(f"QEMU's firmware {name} is missing (package {PACKAGE}, seabios)")
        found[name] = path
    return found
