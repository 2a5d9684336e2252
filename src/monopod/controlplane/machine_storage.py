"""A file system of machines' disks alone, in a file of the cluster's home.

Machines that fill their disks otherwise take the room of etcd, which is on the same file system. It
is a loop device, which every host has: quotas of a project have to be enabled on a file system that
is not mounted. Its file has all its blocks from the start, so neither side takes the other's.
"""

from pathlib import Path
from typing import Final

from monopod.controlplane.errors import ClusterError, HostUnfitError
from monopod.util.mounts import mounts
from monopod.util.process import ProcessError, run
from monopod.util.progress import Progress, Report

IMAGE: Final = "machines.img"
SETTING: Final = "MONOPOD_LOCAL_STORAGE_GIB"
_DIRECTORY: Final = "machines"
# Device nodes stay allowed: each machine of `qemu-kvm` has one of /dev/kvm. So do programs:
# `gvisor` maps those of its guest from the disk.
_OPTIONS: Final = "loop,noatime,nosuid"


async def ensure(home: Path, size_gib: int, report: Report) -> None:
    """Make and mount the file system. Idempotent.

    Args:
        home: The cluster's home.
        size_gib: Its size. 0 means none is made; one that exists is mounted, as it is.
        report: Receives the progress.

    Raises:
        HostUnfitError: There is not enough room, or no loop device; or it has another size, or
            would hide machines that run.
    """
    image, directory = home / IMAGE, home / _DIRECTORY
    if not size_gib and not image.exists():
        return
    try:
        if not image.exists():
            _require_no_machines(directory)
            report(Progress("host", f"makes a file system of {size_gib} GiB for machines' disks"))
            await _make(image, size_gib)
        _require_size(image, size_gib)
        directory.mkdir(mode=0o711, exist_ok=True)
        if _device(directory) is None:
            await run("mount", "-t", "ext4", "-o", _OPTIONS, image, directory)
            directory.chmod(0o711)
        await _cache_once(directory)
    except (OSError, ProcessError) as error:
        why = f"{SETTING}={size_gib}: the file system of machines' disks cannot be made: {error}"
        raise HostUnfitError((why,)) from error
    detail = f"machines' disks have a file system of {image.stat().st_size >> 30} GiB"
    report(Progress("host", detail, 1, 1))


async def remove(home: Path) -> None:
    """Unmount it, if it is mounted; its file is removed with the home.

    Raises:
        ClusterError: A process uses it.
    """
    directory = home / _DIRECTORY
    while _device(directory) is not None:
        try:
            await run("umount", directory)
        except ProcessError as error:
            raise ClusterError(f"machines' disks cannot be removed: {error}") from error


def _require_no_machines(directory: Path) -> None:
    if directory.is_dir() and any(directory.iterdir()):
        why = (
            f"{SETTING} is set, and {directory} has machines: it would hide their disks. Scale"
            " their pods down until `monopod status` shows no machine, then start the cluster again"
        )
        raise HostUnfitError((why,))


def _require_size(image: Path, size_gib: int) -> None:
    now_gib = image.stat().st_size >> 30
    if size_gib not in (0, now_gib):
        why = (
            f"{SETTING}={size_gib}, and {image} has {now_gib} GiB, which cannot be changed:"
            f" set {now_gib}, or remove the cluster with `monopod down`"
        )
        raise HostUnfitError((why,))


async def _make(image: Path, size_gib: int) -> None:
    temporary = image.with_name(f".{image.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        temporary.touch(mode=0o600)
        await run("fallocate", "-l", f"{size_gib}GiB", temporary)
        # Nothing is discarded, which would give the file's blocks back.
        options = ("-q", "-F", "-m", "0", "-E", "nodiscard", "-L", "monopod")
        await run("mkfs.ext4", *options, temporary)
        temporary.rename(image)
    finally:
        temporary.unlink(missing_ok=True)


async def _cache_once(directory: Path) -> None:
    """Let the host cache what is in the file system, and not what is in its file again."""
    if (device := _device(directory)) is not None:
        try:
            await run("losetup", "--direct-io=on", device)
        except ProcessError:
            # Not on every file system, and it saves memory only.
            return


def _device(directory: Path) -> str | None:
    """Return the loop device that is mounted at a directory. None means that none is."""
    return next((each.source for each in mounts() if each.point == directory), None)
