"""Which versions of the guest's packages the archive has, and what an image lacks of them.

apt answers from its own verified lists in a private directory, as if for an empty system: the host
may run another release, and its own lists are not touched. The answer is kept in the cache as part
of what an image is made from, so that ``up`` needs neither network nor time until it is refreshed.
"""

import asyncio
import datetime as dt
import functools
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.node.guest import mmdebstrap, qemu_kernel, root
from monopod.node.guest.archive import debian_sources
from monopod.node.guest.errors import ImageBuildError
from monopod.util import process
from monopod.util.files import write_atomically

_FILE: Final = "versions"
_ESSENTIAL: Final = "?essential"
_INSTALLED: Final = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)
_SHOWN: Final = re.compile(r"^Package: (\S+)$.*?^Version: (\S+)$", re.MULTILINE | re.DOTALL)
Versions = Mapping[str, str]
"""Version by package."""


@dataclass(frozen=True, slots=True)
class Age:
    """How old an image's packages are."""

    built: dt.datetime
    checked: dt.datetime | None
    """When the archive was asked last; None means never."""
    outdated: tuple[str, ...]
    """Packages of which the archive had a newer version then."""


def read(listing: str) -> dict[str, str]:
    """Parse lines of ``name version``."""
    return dict(line.split(" ", 1) for line in listing.splitlines() if line)


def known(cache: Path) -> str:
    """Return the versions that the archive had when it was asked last; empty if never."""
    try:
        return (cache / "guest" / _FILE).read_text()
    except FileNotFoundError:
        return ""


async def refresh(cache: Path) -> str:
    """Ask the archive, and keep its answer as the versions of the next image.

    Raises:
        ImageBuildError: The archive cannot be reached or verified.
    """
    found = await ask()
    listing = "".join(f"{name} {version}\n" for name, version in sorted(found.items()))
    (cache / "guest").mkdir(parents=True, exist_ok=True)
    path = cache / "guest" / _FILE
    if not write_atomically(path, listing.encode(), mode=0o644):
        path.touch()
    return listing


async def ask() -> Versions:
    """Return the versions that the archive has of all packages of the guest.

    Raises:
        ImageBuildError: The archive cannot be reached or verified.
    """
    with tempfile.TemporaryDirectory(prefix="monopod-apt-") as name:
        configuration = _configure(Path(name))
        run = functools.partial(process.run, env={"APT_CONFIG": configuration, "LC_ALL": "C"})
        try:
            await run("apt-get", "-qq", "update", "--error-on=any")
            planned = await run("apt-get", "-qq", "-s", "install", _ESSENTIAL, *root.PACKAGES)
            others = await run(
                "apt-cache", "--no-all-versions", "show", *qemu_kernel.ARCHIVE_PACKAGES
            )
        except process.ProcessError as error:
            raise ImageBuildError(f"Debian's archive does not answer: {error}") from error
    return dict(_INSTALLED.findall(planned) + _SHOWN.findall(others))


async def age(packages: Path, cache: Path, *, now: bool = False) -> Age:
    """Return the age of an image from the list of its packages and the archive's answer.

    Args:
        packages: The list.
        cache: Directory of build results, which holds the archive's last answer.
        now: Whether to ask the archive now; nothing is kept of its answer.

    Raises:
        OSError: The list cannot be read.
        ImageBuildError: The archive cannot be reached or verified.
    """
    built = _time_of(packages)
    have = read(await asyncio.to_thread(packages.read_text))
    if now:
        archive, checked = await ask(), dt.datetime.now(dt.UTC)
    else:
        archive = read(known(cache))
        checked = _time_of(cache / "guest" / _FILE) if archive else None
    return Age(built, checked, tuple(sorted(await outdated(have, archive))))


def _time_of(path: Path) -> dt.datetime:
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)


async def outdated(have: Versions, archive: Versions) -> list[str]:
    """Return the packages of which the archive has a newer version, the kernel among them."""
    have = {_generic(name): version for name, version in have.items()}
    return [
        f"{name} {have[name]} → {version}"
        for name, version in archive.items()
        if name in have and have[name] != version and await _is_newer(version, have[name])
    ]


def _generic(name: str) -> str:
    """Return a kernel's metapackage: the name of the package itself has the version."""
    return qemu_kernel.METAPACKAGE if name.startswith("linux-image-") else name


async def _is_newer(version: str, than: str) -> bool:
    try:
        await process.run("dpkg", "--compare-versions", version, "gt", than)
    except process.ProcessError:
        return False
    return True


def _configure(directory: Path) -> str:
    for name in ("lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"):
        (directory / name).mkdir(parents=True)
    (directory / "etc/sources.list").write_text("\n".join(debian_sources(mmdebstrap.SUITE)) + "\n")
    configuration = directory / "apt.conf"
    configuration.write_text(f"""\
Dir "{directory}";
Dir::Etc "{directory}/etc";
Dir::State "{directory}";
Dir::State::lists "{directory}/lists";
Dir::State::status "/dev/null";
Dir::Cache "{directory}/cache";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
""")
    return str(configuration)
