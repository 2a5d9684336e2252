"""Debian's Prometheus and its promtool, unpacked into the cache: installing it would start it."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from monopod.settings import Settings

_PACKAGE: Final = "prometheus"


def programs() -> Path:
    """Return the directory of ``prometheus`` and ``promtool``, downloaded at the first use."""
    version = _version()
    place = Settings().cache / f"{_PACKAGE}-{version.replace(':', '_')}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f"{_PACKAGE}.lock").open("w") as lock:
        # Several processes run tests.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _unpack(version, place)
    return place / "usr" / "bin"


def _version() -> str:
    said = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", _PACKAGE],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return next(
        line.removeprefix("Version: ") for line in said.splitlines() if line.startswith("Version: ")
    )


def _unpack(version: str, place: Path) -> None:
    with tempfile.TemporaryDirectory(dir=place.parent) as made:
        work = Path(made)
        # apt verifies the package's hash, by the archive's signed list.
        subprocess.run(
            ["apt-get", "download", "-qq", f"{_PACKAGE}={version}"],
            cwd=work,
            check=True,
            capture_output=True,
            env=os.environ | {"LC_ALL": "C"},
        )
        (package,) = work.glob("*.deb")
        root = work / "root"
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        # Its pages, which take most of the room.
        shutil.rmtree(root / "usr" / "share", ignore_errors=True)
        root.rename(place)


def run(program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, good or bad."""
    return subprocess.run(
        [programs() / program, *words], capture_output=True, text=True, timeout=120, check=False
    )
