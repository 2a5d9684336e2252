"""The image of Redis and PostgreSQL, from Debian's packages; some 200 MiB, not compressed."""

import asyncio
import hashlib
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Final

from monopod.bench.errors import BenchError
from monopod.build.images import ImageConfig, cached_archive
from monopod.node.guest.errors import ImageBuildError
from monopod.node.guest.mmdebstrap import unpack
from monopod.util.progress import Report

NAME: Final = "monopod/programs:1"
USER: Final = 65533
"""User and group of the container: PostgreSQL refuses to run as root."""
_SUITE: Final = "bookworm"
_PACKAGES: Final = (
    *("bash", "coreutils", "dash", "gawk", "libc-bin", "postgresql", "redis-server"),
    *("redis-tools", "sed"),
)
_REMOVED: Final = (
    *("usr/share/doc", "usr/share/i18n", "usr/share/info", "usr/share/locale", "usr/share/man"),
    # PostgreSQL's compiler of long queries.
    *("usr/lib/llvm-*", "usr/lib/x86_64-linux-gnu/libLLVM*", "usr/lib/postgresql/*/lib/llvm*"),
    *("usr/lib/postgresql/*/lib/bitcode", "var/cache", "var/lib/apt", "dev", "tmp"),
)
_SCRIPT: Final = "programs.sh"
_CONFIG: Final = ImageConfig(
    entrypoint=("/bin/sh", f"/{_SCRIPT}"),
    environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
    user=f"{USER}:{USER}",
)


async def programs_archive(cache: Path, report: Report) -> Path:
    """Build the image once; returns an OCI archive in the cache.

    Raises:
        BenchError: Debian's archive cannot be reached.
    """
    script = files("monopod.bench.programs").joinpath(_SCRIPT).read_bytes()
    inputs = f"{_SUITE} {_PACKAGES} {_REMOVED} {_CONFIG}".encode() + script
    key = hashlib.sha256(inputs).hexdigest()[:16]

    archive = cache / "images" / f"programs-{key}" / "programs.tar"

    async def fill(work: Path) -> None:
        root = work / "root"
        await unpack(root, _PACKAGES, variant="extract", suite=_SUITE)
        await asyncio.to_thread(furnish, root, script)

    try:
        return await cached_archive.provide(archive, NAME, _CONFIG, fill, report)
    except ImageBuildError as error:
        raise BenchError(str(error)) from error


def furnish(root: Path, script: bytes) -> None:
    """Add the script and an account to unpacked packages, and remove what no program needs."""
    for pattern in _REMOVED:
        for path in root.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    (root / _SCRIPT).write_bytes(script)
    (root / "tmp").mkdir(mode=0o1777)
    (root / "tmp").chmod(0o1777)
    # Written by a script of Debian's that unpacking does not run.
    (root / "etc" / "passwd").write_text(f"bench:x:{USER}:{USER}::/tmp:/bin/sh\n")
    (root / "etc" / "group").write_text(f"bench:x:{USER}:\n")
    awk = root / "usr" / "bin" / "awk"
    if not awk.exists():
        awk.symlink_to("gawk")
