"""Debian's own kernel with our first file system, booted by a QEMU that emulates everything."""

import re
import shutil
from pathlib import Path
from typing import Final

import pytest

from monopod.node.guest import GuestImage, create_configuration_disk, create_data_disk
from monopod.node.guest.cpio import File, archive
from monopod.node.vmm.console import classify_exit
from monopod.util import process

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU on this host"),
]

_Q35: Final = ("q35", "pci")
_MICROVM: Final = ("microvm,acpi=on,pcie=off,rtc=on,auto-kernel-cmdline=off", "device")


_MACS: Final = ("02:6d:64:40:00:07", "02:6d:c0:a8:00:07")


def _host_khz() -> int:
    rate = re.search(r"cpu MHz\s*: ([\d.]+)", Path("/proc/cpuinfo").read_text())
    assert rate
    return int(float(rate[1]) * 1000)


async def _boot(
    image: GuestImage,
    home: Path,
    script: str,
    *,
    machine: tuple[str, str] = _Q35,
    parameters: str = "",
    processors: int = 1,
) -> str:
    """Everything that a machine prints until QEMU ends."""
    data, configuration = home / "data.img", home / "config.img"
    await create_data_disk(image.data_template, data, 20, 0)
    create_configuration_disk(
        configuration, {"bake/run": script.encode(), "hosts": b"127.0.0.1 localhost\n"}, 0
    )
    kind, bus = machine
    disks = [(image.root_image, "on"), (data, "off"), (configuration, "on")]
    options = [
        *("-M", f"{kind},accel=tcg", "-cpu", "max", "-smp", str(processors), "-m", "600M"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-serial", "stdio", "-kernel", str(image.qemu.kernel)),
        *("-initrd", str(image.qemu.initramfs)),
        *("-append", f"console=ttyS0 quiet panic=-1 {parameters}"),
        *("-object", "rng-random,filename=/dev/urandom,id=rng"),
        *("-device", f"virtio-rng-{bus},rng=rng", "-device", f"virtio-balloon-{bus}"),
    ]
    for number, mac in enumerate(_MACS):
        options += ["-netdev", f"user,id=link{number},restrict=on"]
        options += ["-device", f"virtio-net-{bus},netdev=link{number},mac={mac},host_mtu=9001"]
    for number, (path, read_only) in enumerate(disks):
        drive = f"if=none,id=disk{number},format=raw,file.locking=off,file={path}"
        options += ["-drive", f"{drive},readonly={read_only}"]
        options += ["-device", f"virtio-blk-{bus},drive=disk{number}"]
    return await process.run("qemu-system-x86_64", *options, timeout_s=120)


_LOOK: Final = """
    echo "processors $(cat /sys/devices/system/cpu/online)"
    echo "links $(cd /sys/class/net && grep . */address */mtu | tr '\n' ' ')"
    echo "var $(sed -n 's| /var ext4 rw.*||p' /proc/mounts)"
    echo "random $(cat /sys/class/misc/hw_random/rng_current)"
    echo "modules $(echo /sys/module/overlay /sys/module/veth /sys/module/virtio_balloon)"
    echo "date $(date +%Y)"
"""


@pytest.mark.row("S1")
@pytest.mark.parametrize("machine", [_Q35, _MICROVM], ids=["q35", "microvm"])
async def test_a_machine_finds_all_that_it_is_given(
    guest_image: GuestImage, tmp_path: Path, machine: tuple[str, str]
) -> None:
    # A kernel without KVM's clock has nothing on a microvm to measure its processors by.
    parameters = f"tsc_early_khz={_host_khz()}" if machine == _MICROVM else ""
    said = await _boot(
        guest_image,
        tmp_path,
        _LOOK + "echo o >/proc/sysrq-trigger; while :; do :; done",
        machine=machine,
        parameters=parameters,
        processors=2,
    )
    for line in (
        "processors 0-1",
        *(f"vec{number}/address:{mac} " for number, mac in enumerate(_MACS)),
        *(f"vec{number}/mtu:9001 " for number in range(2)),
        "var /dev/vdb",
        "random virtio_rng.0",
        "modules /sys/module/overlay /sys/module/veth /sys/module/virtio_balloon",
    ):
        assert line in said
    assert re.search(r"date 20[2-9]\d", said)
    assert "not found" not in said
    assert classify_exit("one", said).reason == "GuestPoweredOff", said


async def test_a_clock_that_is_behind_is_set_by_the_hosts(
    guest_image: GuestImage, tmp_path: Path
) -> None:
    """The supervisor's end is looked at as well: it is what ends a machine in order."""
    script = """
        cp -a /etc/s6 /run/s6
        rm -r /run/s6/kubelet /run/s6/containerd
        date --set=@1000000000
        cp -a /etc/s6-clock /run/s6/clock
        { until [ "$(date +%s)" -gt 1700000000 ]; do sleep 0.1; done
          s6-svscanctl -t /run/s6; } &
        exec s6-svscan /run/s6
    """
    said = await _boot(guest_image, tmp_path, script)
    assert "behind the host's" in said
    assert classify_exit("one", said).reason == "GuestPoweredOff", said


async def test_a_panic_ends_the_machine_and_is_reported(
    guest_image: GuestImage, tmp_path: Path
) -> None:
    said = await _boot(guest_image, tmp_path, "echo c >/proc/sysrq-trigger; sleep 60")
    ended = classify_exit("one", said)
    assert ended.reason == "GuestPanicked"
    assert "sysrq triggered crash" in ended.message


async def test_a_probe_prints_its_word_and_powers_off(
    guest_image: GuestImage, tmp_path: Path
) -> None:
    said = await _boot(guest_image, tmp_path, "echo root; sleep 60", parameters="monopod.probe")
    assert "monopod: probed" in said
    assert "root" not in said.replace("rootfs", "")
    assert classify_exit("one", said).reason == "GuestPoweredOff", said


def test_an_archive_is_as_the_kernel_reads_it() -> None:
    made = archive(("bin",), {"bin/a": File(b"one\n", 0o755), "init": File(b"")})
    assert made == archive(("bin",), {"bin/a": File(b"one\n", 0o755), "init": File(b"")})
    entries: list[tuple[str, int, bytes]] = []
    while made:
        fields = [int(made[6 + 8 * n : 14 + 8 * n], 16) for n in range(13)]
        name_end = 110 + fields[11]
        start = (name_end + 3) // 4 * 4
        content = made[start : start + fields[6]]
        entries.append((made[110 : name_end - 1].decode(), fields[1], content))
        made = made[(start + fields[6] + 3) // 4 * 4 :]
    assert entries == [
        ("bin", 0o40755, b""),
        ("bin/a", 0o100755, b"one\n"),
        ("init", 0o100644, b""),
        ("TRAILER!!!", 0, b""),
    ]
