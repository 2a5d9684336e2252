"""The library that hides AMX's registers from User Mode Linux's ptrace(2)."""

from pathlib import Path

import pytest

from monopod.node.guest.image import GuestImage
from monopod.util import process

pytestmark = pytest.mark.kernel

_KEPT_BYTES = 8192
"""What the kernel keeps of a process's extended registers."""


@pytest.mark.skipif(
    " avx " not in Path("/proc/cpuinfo").read_text(), reason="the processor has no such registers"
)
async def test_extended_registers_are_read_and_set_as_far_as_the_kernel_keeps_them(
    guest_image: GuestImage, tmp_path: Path
) -> None:
    """Without it, reading says 11 KiB on a host with AMX, and setting the first 8 fails."""
    program = tmp_path / "registers"
    await process.run("gcc", "-o", program, Path(__file__).with_name("registers.c"))
    preload = {"LD_PRELOAD": str(guest_image.uml.registers)}
    size, *others = (await process.run(program, env=preload)).splitlines()
    assert 512 < int(size.removeprefix("size ")) <= _KEPT_BYTES
    assert others == ["word 1", "kept 1"]
