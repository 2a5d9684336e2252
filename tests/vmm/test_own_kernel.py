"""An operator's guest kernel is validated, and reaches jails as a file that they can read."""

import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from monopod.node.guest import GuestImage
from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.own_kernel import check_kernel, is_kernel
from monopod.node.vmm.qemu_command import Accelerator
from tests.vmm.conftest import Bench


def _elf(kind: int = 2, machine: int = 62, start: bytes = b"\x7fELF\x02\x01\x01") -> bytes:
    return start.ljust(16, b"\0") + struct.pack("<HH", kind, machine) + bytes(40)


def _bzimage(mark: bytes = b"HdrS") -> bytes:
    return bytes(0x1FE) + b"\x55\xaa\xeb\x66" + mark + bytes(100)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        (_elf(), True),
        (_elf(kind=3), True),
        (_bzimage(), True),
        (_elf(kind=1), False),
        (_elf(machine=183), False),
        (_elf(start=b"\x7fELF\x01\x01\x01"), False),
        (_elf()[:18], False),
        (_bzimage(b"HdrX"), False),
        (_bzimage()[:0x203], False),
        (b"", False),
        (b"\x1f\x8b" + bytes(1000), False),
    ],
)
def test_a_vmlinux_or_a_bzimage_for_x86_64(head: bytes, is_one: bool) -> None:
    assert is_kernel(head) is is_one


@pytest.mark.unit
def test_one_error_names_the_setting_and_the_file(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    with pytest.raises(VmmError, match=f"MONOPOD_LOCAL_KVM_KERNEL={path} cannot be read: No such"):
        check_kernel(path)
    path.write_bytes(b"#!/bin/sh\n")
    with pytest.raises(
        VmmError, match=f"{path} is no kernel for x86-64: neither an ELF file .* nor a bzImage"
    ):
        check_kernel(path)
    with pytest.raises(VmmError, match="cannot be read: Is a directory"):
        check_kernel(tmp_path)


@pytest.mark.kernel
def test_debians_own_is_one(guest_image: GuestImage) -> None:
    check_kernel(guest_image.qemu.directory / "kernel")
    check_kernel(guest_image.uml.directory / "linux")


@pytest.mark.kernel
async def test_a_guest_boots_the_operators_kernel_that_root_alone_can_read(
    bench: Bench, tmp_path: Path
) -> None:
    own = tmp_path / "vmlinuz"
    own.write_bytes((bench.image.qemu.directory / "kernel").read_bytes() + b"the operator's")
    own.chmod(0o600)
    driver = replace(bench.qemu(Accelerator.TCG), runtime=bench.home / "qemu-kvm", own_kernel=own)
    await driver.prepare()
    assert driver.published_kernel.read_bytes() == own.read_bytes()
    assert driver.published_kernel.stat().st_mode & 0o777 == 0o444
    before = driver.published_kernel.stat().st_ino
    await driver.prepare()
    assert driver.published_kernel.stat().st_ino == before
    os.truncate(own, 100)
    with pytest.raises(VmmError, match="is no kernel for x86-64"):
        await driver.prepare()
