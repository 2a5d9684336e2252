"""Unpacks Debian's packages into a directory with ``mmdebstrap``; all of Monopod does so here."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from monopod.node.guest.archive import debian_sources
from monopod.node.guest.errors import ImageBuildError
from monopod.util import process

EPOCH: Final = "1767225600"
"""Time stamp of built files, for reproducibility: start of 2026."""
SUITE: Final = "trixie"
"""Debian's release."""


async def unpack(
    tree: Path,
    packages: Iterable[str],
    *options: str,
    variant: str = "essential",
    suite: str = SUITE,
    on_line: Callable[[str], None] = lambda _: None,
) -> None:
    """Unpack packages, and what they need, into a new directory.

    Args:
        tree: The directory.
        packages: Names of packages.
        options: Further options of ``mmdebstrap``.
        variant: ``essential`` also configures them; ``extract`` adds nothing to the packages.
        suite: Debian's name of a release.
        on_line: Called with each line of the output.

    Raises:
        ImageBuildError: The archive cannot be reached or verified, or tools are missing.
    """
    try:
        await process.stream(
            # What it mounts in the directory ends with it, also when it is killed.
            *(("unshare", "--mount") if os.geteuid() == 0 else ()),
            *("mmdebstrap", f"--variant={variant}", "--architectures=amd64"),
            *(f"--include={','.join(packages)}", *options, suite, tree),
            *debian_sources(suite),
            on_line=on_line,
            env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "LC_ALL": "C"},
        )
    except process.ProcessError as error:
        raise ImageBuildError(f"Debian's packages cannot be unpacked: {error}") from error
