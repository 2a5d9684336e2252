"""The Python code that Monopod's processes run: `up` compiles it, and restarts them for new code.

An installation is often a checkout that changes in place, so paths and versions do not show it.
"""

import hashlib
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Final

import monopod
from monopod.util import process

_CACHE: Final = "__pycache__"
_PACKAGE: Final = Path(monopod.__file__).parent


def installed_code() -> str:
    """Return the digest of this installation: Monopod's files and its dependencies' versions."""
    return code_digest(_PACKAGE, Path(sysconfig.get_path("purelib")))


async def compile_code(package: Path = _PACKAGE) -> None:
    """Write bytecode of each of a package's files that has none, or that of an older version.

    Monopod's processes cannot: they would compile all that they import whenever they start, which
    takes longer than the rest of their start. Does nothing where root cannot write either.
    """
    with suppress(process.ProcessError):
        await process.run(sys.executable, "-m", "compileall", "-q", "-j", "0", package)


def code_digest(package: Path, dependencies: Path) -> str:
    """Return a digest of a package's files and of the versions of the packages it may import.

    Args:
        package: Directory of the package.
        dependencies: The directory of installed packages, each with a ``NAME-VERSION.dist-info``.
    """
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if _CACHE not in path.parts and path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(package)}\0{content}\0".encode())
    for name in sorted(path.name for path in dependencies.glob("*.dist-info")):
        digest.update(f"{name}\0".encode())
    return digest.hexdigest()[:16]
