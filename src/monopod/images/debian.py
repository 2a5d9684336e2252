"""Files of Debian packages, taken without installing anything on this host."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monopod import process
from monopod.images.errors import BuildError


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package, as the host's own package lists name it."""

    name: str
    version: str
    sha256: str


async def find(names: Sequence[str]) -> list[Package]:
    """Look packages up in the host's lists, which are brought up to date if they lack one.

    Raises:
        BuildError: There is no such package.
    """
    try:
        return [await _look_up(name) for name in names]
    except BuildError:
        try:
            await process.run("apt-get", "update", "-q")
        except process.ProcessError as error:
            raise BuildError(f"the package lists cannot be brought up to date: {error}") from error
        return [await _look_up(name) for name in names]


async def unpack(packages: Sequence[Package], directory: Path, downloads: Path) -> None:
    """Download packages, which apt holds to its signed lists, and unpack them into a directory.

    Raises:
        BuildError: One cannot be had.
    """
    exact = [f"{package.name}={package.version}" for package in packages]
    try:
        # apt's own unprivileged user cannot write to directories of ours.
        await process.run(
            *("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root"), *exact, cwd=downloads
        )
        for archive in _archives(downloads):
            await process.run("dpkg-deb", "--extract", archive, directory)
    except process.ProcessError as error:
        raise BuildError(f"the packages {', '.join(exact)} cannot be had: {error}") from error


def _archives(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.deb"))


async def _look_up(name: str) -> Package:
    try:
        said = await process.run("apt-cache", "show", "--no-all-versions", name)
    except process.ProcessError as error:
        raise BuildError(f"Debian's package {name} is not to be found: {error}") from error
    fields = dict(re.findall(r"^(Version|SHA256): (\S+)$", said, re.MULTILINE))
    if fields.keys() != {"Version", "SHA256"}:
        raise BuildError(f"the package lists of this host tell no digest of {name}")
    return Package(name, fields["Version"], fields["SHA256"])
