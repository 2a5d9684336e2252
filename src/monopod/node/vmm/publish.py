"""Publishes the files of jails where the machines' uids can read them.

The build cache may be in a home directory that other uids cannot enter, and bubblewrap binds by
path, as the machine's uid.
"""

import filecmp
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from monopod.node.vmm.driver import VmmError


def publish(files: Mapping[Path, Path], runtime: Path) -> None:
    """Put files into a directory by hard link, or by copy from another file system.

    Idempotent, also while machines run from these files.

    Args:
        files: Source files by path relative to ``runtime``.
        runtime: Directory that every uid can reach.

    Raises:
        VmmError: Not every uid can reach it.
        OSError: Something cannot be written.
    """
    for place, source in files.items():
        target = runtime / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or not (
            target.samefile(source) or filecmp.cmp(source, target, shallow=False)
        ):
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            try:
                os.link(source, partial)
            except OSError:
                shutil.copy2(source, partial)
            partial.replace(target)
    closed = [
        str(path)
        for path in (runtime, *runtime.resolve().parents)
        if not path.stat().st_mode & stat.S_IXOTH
    ]
    if closed:
        raise VmmError(
            f"the uids of machines cannot enter {', '.join(closed)}: choose another MONOPOD_HOME or"
            " allow all users to enter (chmod o+x)"
        )
