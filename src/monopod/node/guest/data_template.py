"""Builds the data disk's template: a machine's ``/var`` with the pause image in containerd's store.

A guest fills it in one short boot, so the store is written by the same containerd, kernel and file
system that read it later, and the host needs no mounts.
"""

import asyncio
import shutil
from itertools import chain
from pathlib import Path
from typing import Final

from monopod.node.guest.disks import TEMPLATE_GIB, configuration_archive
from monopod.node.guest.errors import ImageBuildError
from monopod.node.guest.pause import REFERENCE
from monopod.node.vmm.uml import ENVIRONMENT, FILES
from monopod.util import process

_BAKED: Final = "monopod: baked"
_TIMEOUT_S: Final = 180
_SCRIPT: Final = f"""\
containerd --config /etc/containerd/config.toml >/dev/console 2>&1 &
until [ -S /run/containerd/containerd.sock ]; do sleep 0.1; done
cp /run/config/bake/ctr /run/ctr && chmod 755 /run/ctr
/run/ctr --namespace k8s.io images import --snapshotter overlayfs /run/config/bake/image.tar \\
    && /run/ctr --namespace k8s.io images label {REFERENCE} io.cri-containerd.image=managed \\
        io.cri-containerd.pinned=pinned \\
    && kill $! && wait $!
umount /var && echo '{_BAKED}'
echo o >/proc/sysrq-trigger
sleep 60
"""


async def build_data_template(
    *, kernel: Path, root_image: Path, data_image: Path, ctr: Path, image: bytes, log: Path
) -> None:
    """Build the template.

    Raises:
        ImageBuildError: The guest does not boot or containerd rejects the image; the message has
            the end of its console.
    """
    skeleton = data_image.with_suffix(".d")
    baking = data_image.with_suffix(".baking")
    configuration = data_image.with_suffix(".tar")
    try:
        await asyncio.to_thread(_make_skeleton, skeleton)
        await _make_file_system(skeleton, baking)
        await asyncio.to_thread(_write_configuration, configuration, ctr, image)
        output = await _boot(kernel, root_image, baking, configuration)
        await asyncio.to_thread(log.write_text, output)
        # Drops zeros of mke2fs and the boot: hundreds of megabytes that each machine would copy.
        await process.run("cp", "--sparse=always", baking, data_image)
    finally:
        await asyncio.to_thread(shutil.rmtree, skeleton, ignore_errors=True)
        for path in (baking, configuration):
            await asyncio.to_thread(path.unlink, missing_ok=True)
    if _BAKED not in output:
        raise ImageBuildError(f"the guest did not finish its first boot:\n{_tail(output)}")


def _write_configuration(path: Path, ctr: Path, image: bytes) -> None:
    files = {
        "bake/run": _SCRIPT.encode(),
        "bake/ctr": ctr.read_bytes(),
        "bake/image.tar": image,
        "hosts": b"127.0.0.1 localhost\n",
    }
    path.write_bytes(configuration_archive(files))


def _make_skeleton(directory: Path) -> None:
    for path in (
        "lib/containerd",
        "lib/kubelet/pki",
        "log/pods",
        "log/containers",
        "cache",
        "spool",
    ):
        (directory / path).mkdir(parents=True)
    (directory / "tmp").mkdir(mode=0o1777)
    (directory / "run").symlink_to("/run")
    # The kubelet replaces this link when it renews its certificate.
    current = directory / "lib/kubelet/pki/kubelet-client-current.pem"
    current.symlink_to("/run/config/kubelet/client.pem")


async def _make_file_system(skeleton: Path, image: Path) -> None:
    try:
        await process.run(
            "mkfs.ext4",
            *("-q", "-b", "4096", "-m", "0", "-L", "monopod-data"),
            *("-O", "^has_journal,^metadata_csum,^orphan_file"),
            # Complete initialisation, so that the guest's kernel does none in the background.
            *("-E", "lazy_itable_init=0,root_owner=0:0"),
            *("-d", skeleton, image, f"{TEMPLATE_GIB}G"),
        )
    except process.ProcessError as error:
        raise ImageBuildError(f"the data disk's template cannot be made: {error}") from error


async def _boot(kernel: Path, root: Path, data: Path, configuration: Path) -> str:
    try:
        return await process.run(
            *("bwrap", "--unshare-all", "--die-with-parent", "--new-session"),
            *chain.from_iterable(("--ro-bind", kernel / name, f"/{name}") for name in FILES),
            *("--setenv", *chain.from_iterable(ENVIRONMENT.items())),
            *("--proc", "/proc", "--tmpfs", "/dev/shm"),  # noqa: S108
            *("--dir", "/disks", "--ro-bind", root, "/disks/root"),
            *("--bind", data, "/disks/data", "--ro-bind", configuration, "/disks/configuration"),
            *("--", "/linux", "mem=512M", "root=/dev/ubda", "ro", "init=/usr/sbin/init"),
            *("ubd0r=/disks/root", "ubd1=/disks/data", "ubd2r=/disks/configuration"),
            *("con=null", "con0=fd:0,fd:1", "uml_dir=/dev/shm", "panic=-1", "noreboot"),
            timeout_s=_TIMEOUT_S,
        )
    except process.ProcessError as error:
        printed = f"{error}\n{_tail(error.stdout)}"
        raise ImageBuildError(f"the guest does not boot on this host: {printed}") from error


def _tail(console: str) -> str:
    return "\n".join(console.splitlines()[-30:])
