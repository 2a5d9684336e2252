"""Builds the machines' root file system: Debian packages, upstream programs, our files.

It is built without mounts: ``mke2fs`` fills the image from a directory.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from monopod.node.guest.errors import ImageBuildError
from monopod.node.guest.mmdebstrap import EPOCH, unpack
from monopod.node.guest.specification import base_specification
from monopod.util import process

PACKAGES: Final = (
    "ca-certificates",
    "crun",
    "execline",
    "inotify-tools",
    "iproute2",
    "kmod",
    "mount",
    "s6",
    "user-mode-linux",
)
_EXCLUDED: Final = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/var/cache/*",
)
_LINKS: Final = {
    "etc/hostname": "/run/config/hostname",
    "etc/hosts": "/run/config/hosts",
    "etc/machine-id": "/run/config/machine-id",
    "etc/resolv.conf": "/run/config/resolv.conf",
    "etc/mtab": "/proc/self/mounts",
    "etc/s6/.s6-svscan/crash": "finish",
    # Copied into /dev by init.
    "usr/local/share/dev/core": "/proc/kcore",
    "usr/local/share/dev/fd": "/proc/self/fd",
    "usr/local/share/dev/stderr": "/proc/self/fd/2",
    "usr/local/share/dev/stdin": "/proc/self/fd/0",
    "usr/local/share/dev/stdout": "/proc/self/fd/1",
}
_FILES: Final = Path(__file__).parent / "files"


_RUNTIME: Final = "[plugins.'io.containerd.cri.v1.runtime']\n"
_GVISOR: Final = {
    # crun's exec reads cgroup.freeze, which gVisor's cgroups lack. Keyrings are never freed there,
    # and the 201st start of a container would fail: all containers of the one pod share a keyring.
    "'/usr/bin/crun'": "'/usr/local/bin/runc'\n          NoNewKeyring = true",
    # Sysctls that netstack lacks.
    _RUNTIME: f"{_RUNTIME}    enable_unprivileged_ports = false\n"
    "    enable_unprivileged_icmp = false\n",
}
"""Replacements in containerd's configuration where the guest's kernel is gVisor."""


def for_gvisor(configuration: str) -> str:
    """Return containerd's configuration for a guest whose kernel is gVisor.

    Raises:
        ImageBuildError: The configuration lacks something that is to be replaced.
    """
    for old, new in _GVISOR.items():
        if old not in configuration:
            raise ImageBuildError(f"containerd's configuration lacks {old}")
        configuration = configuration.replace(old, new)
    return configuration


async def bootstrap(tree: Path, hook: str, on_line: Callable[[str], None]) -> None:
    """Unpack Debian's packages into a directory.

    Args:
        tree: The directory.
        hook: A shell command run at the end, which may download packages.
        on_line: Called with each line of the output.

    Raises:
        ImageBuildError: The archive cannot be reached or verified, or tools are missing.
    """
    exclusions = [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    await unpack(tree, PACKAGES, f"--customize-hook={hook}", *exclusions, on_line=on_line)


async def list_packages(tree: Path) -> str:
    """List the unpacked packages, one ``name version`` a line."""
    return await process.run(
        "dpkg-query", f"--admindir={tree}/var/lib/dpkg", "-W", "-f", "${Package} ${Version}\n"
    )


async def install_files(
    tree: Path, components: Path, programs: Iterable[str], cni_plugins: Iterable[str]
) -> None:
    """Add upstream programs and our files, and remove state of the build."""
    try:
        specification = await process.run(components / "ctr", "oci", "spec")
    except process.ProcessError as error:
        raise ImageBuildError(f"cannot get containerd's default OCI spec: {error}") from error
    await asyncio.to_thread(_furnish, tree, components, programs, cni_plugins)
    directory = tree / "etc/containerd"
    target = directory / "base.json"
    await asyncio.to_thread(target.write_text, base_specification(specification))
    configuration = (directory / "config.toml").read_text()
    await asyncio.to_thread((directory / "gvisor.toml").write_text, for_gvisor(configuration))


def _furnish(
    tree: Path, components: Path, programs: Iterable[str], cni_plugins: Iterable[str]
) -> None:
    libexec = tree / "usr/local/libexec/cni"
    libexec.mkdir(parents=True)
    for name in programs:
        shutil.copy(components / name, tree / "usr/local/bin" / name)
    for name in cni_plugins:
        shutil.copy(components / name, libexec / name)
    for source in sorted(_FILES.rglob("*")):
        target = tree / source.relative_to(_FILES)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            shutil.copyfile(source, target)
            is_script = source.read_bytes().startswith(b"#!")
            target.chmod(0o755 if is_script else 0o644)
    for name, aim in _LINKS.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).unlink(missing_ok=True)
        (tree / name).symlink_to(aim)
    for name in ("dev", "proc", "run", "sys", "tmp", "var"):
        shutil.rmtree(tree / name, ignore_errors=True)
        (tree / name).mkdir(mode=0o755)


async def write(tree: Path, image: Path) -> None:
    """Write a directory as a read-only ext4 image of minimal size.

    Raises:
        ImageBuildError: No space is left, or ``mke2fs`` is missing.
    """
    used = await asyncio.to_thread(_size_bytes, tree)
    blocks = used // 4096 * 108 // 100 + 4096
    try:
        await process.run(
            "mkfs.ext4",
            *("-q", "-b", "4096", "-m", "0", "-L", "monopod-root"),
            *("-O", "^has_journal,^resize_inode,^metadata_csum,^orphan_file"),
            *("-U", "6d6f6e6f-706f-4400-8000-726f6f740000"),
            *("-E", "hash_seed=6d6f6e6f-706f-4400-8000-686173680000"),
            *("-d", tree, image, str(blocks)),
            env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "E2FSPROGS_FAKE_TIME": EPOCH},
        )
    except process.ProcessError as error:
        raise ImageBuildError(f"the root file system cannot be written: {error}") from error


def _size_bytes(tree: Path) -> int:
    """Return the size in bytes of whole blocks, with hard links counted once."""
    seen: set[int] = set()
    total = 0
    for path in tree.rglob("*"):
        status = path.lstat()
        if status.st_ino not in seen:
            seen.add(status.st_ino)
            total += (status.st_size + 4095) // 4096 * 4096 + 512
    return total
