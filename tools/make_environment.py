"""Make ``.venv`` as ``uv.lock`` has it, with nothing but a plain Python at hand.

uv itself comes from the lock too, held to the digests there.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"


def main() -> None:
    """Make the environment, or bring it up to the lock."""
    python = ENVIRONMENT / "bin" / "python"
    uv = ENVIRONMENT / "bin" / "uv"
    if not python.exists():
        print(f"making {ENVIRONMENT} with {sys.executable} {sys.version.split()[0]}", flush=True)
        venv.create(ENVIRONMENT, with_pip=True, clear=True, symlinks=True)
    version, hashes = locked("uv")
    if installed_version(uv) != version:
        print(f"installing uv {version}", flush=True)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            requirements.write(f"uv=={version} " + " ".join(f"--hash={one}" for one in hashes))
            requirements.flush()
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            chosen = ["--require-hashes", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*pip, *chosen, "--requirement", requirements.name], check=True)
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    environment.pop("VIRTUAL_ENV", None)
    # Processes of a cluster cannot write bytecode, so they would compile whenever they start.
    sync = [uv, "sync", "--frozen", "--inexact", "--compile-bytecode"]
    subprocess.run(sync, cwd=ROOT, env=environment, check=True)


def locked(name: str) -> tuple[str, list[str]]:
    """The version of a package that the lock names, and its wheels' digests."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    package = next(one for one in packages if one["name"] == name)
    return package["version"], [wheel["hash"] for wheel in package["wheels"]]


def installed_version(uv: Path) -> str | None:
    """The version of the environment's uv, if it has one."""
    try:
        answer = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.split()[1]


if __name__ == "__main__":
    main()
