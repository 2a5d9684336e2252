"""Downloads and unpacks Debian packages without installing them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monopod.build.images.errors import BuildError
from monopod.util import process


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package, from the host's package lists."""

    name: str
    version: str
    sha256: str


async def find(names: Sequence[str]) -> list[Package]:
    """Find packages in the host's package lists, which are updated if one is missing.

    Raises:
        BuildError: A package does not exist.
    """
    try:
        return [await _look_up(name) for name in names]
    except BuildError:
        try:
            await process.run("apt-get", "update", "-q")
        except process.ProcessError as error:
            raise BuildError(f"cannot update the package lists: {error}") from error
        return [await _look_up(name) for name in names]


async def unpack(packages: Sequence[Package], directory: Path, downloads: Path) -> None:
    """Download packages, which apt verifies against its signed lists, and unpack them.

    Raises:
        BuildError: A package cannot be downloaded or unpacked.
    """
    exact = [f"{package.name}={package.version}" for package in packages]
    try:
        # apt's own unprivileged user cannot write to our directories.
        await process.run(
            *("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root"), *exact, cwd=downloads
        )
        for archive in _archives(downloads):
            await process.run("dpkg-deb", "--extract", archive, directory)
    except process.ProcessError as error:
        raise BuildError(f"cannot download packages {', '.join(exact)}: {error}") from error


def _archives(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.deb"))


async def _look_up(name: str) -> Package:
    try:
        said = await process.run("apt-cache", "show", "--no-all-versions", name)
    except process.ProcessError as error:
        raise BuildError(f"cannot find Debian package {name}: {error}") from error
    fields = dict(re.findall(r"^(Version|SHA256): (\S+)$", said, re.MULTILINE))
    if fields.keys() != {"Version", "SHA256"}:
        raise BuildError(f"this host's package lists contain no digest of {name}")
    return Package(name, fields["Version"], fields["SHA256"])
