"""Errors name what a host lacks to run QEMU."""

from pathlib import Path

import pytest

from monopod.node.guest import GuestImage
from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.qemu_program import check_version, find_program


@pytest.mark.unit
@pytest.mark.parametrize(
    ("shown", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright", "7.2.22"),
        ("QEMU emulator version 10.0.0\n", "10.0.0"),
    ],
)
def test_a_version_that_will_do(shown: str, version: str) -> None:
    assert check_version(shown) == version


@pytest.mark.unit
@pytest.mark.parametrize("version", ["7.1.0", "5.2.0", "2.12.1"])
def test_one_that_is_too_old_is_named_with_the_one_needed(version: str) -> None:
    with pytest.raises(VmmError, match=rf"QEMU is {version}, too old: 7\.2 is needed"):
        check_version(f"QEMU emulator version {version}\n")


@pytest.mark.unit
def test_a_program_without_a_version_is_rejected() -> None:
    with pytest.raises(VmmError, match="does not print its version"):
        check_version("hello")


@pytest.mark.unit
async def test_a_missing_program_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VmmError, match=r"qemu-system-x86_64 \(package qemu-system-x86\)"):
        await find_program(tmp_path)


@pytest.mark.unit
async def test_a_program_that_does_not_run_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(VmmError, match="does not run on this host"):
        await find_program(tmp_path)


@pytest.mark.kernel
async def test_a_kernel_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(VmmError, match=f"QEMU cannot run without {tmp_path}/kernel"):
        await find_program(tmp_path)


@pytest.mark.kernel
async def test_all_that_a_jail_needs_is_found(guest_image: GuestImage) -> None:
    found = await find_program(guest_image.qemu.directory)
    places = {str(place) for place in found.files}
    assert {"usr/bin/qemu-system-x86_64", "kernel", "initramfs", "firmware/bios-256k.bin"} <= places
    assert not any(place.startswith(("etc", "home", "root", "var")) for place in places)
