"""Validates a guest kernel that an operator names for ``qemu-kvm``.

Some hosts virtualise without the processor's extensions (pagetable-based virtual machines, module
``kvm_pvm``) and run only kernels that were built for that.
"""

import struct
from pathlib import Path
from typing import Final

from monopod.node.vmm.driver import VmmError

SETTING: Final = "MONOPOD_LOCAL_KVM_KERNEL"
_HEAD_BYTES: Final = 0x206
_ELF: Final = b"\x7fELF\x02\x01"
"""An ELF file of 64 bits, little-endian."""
_X86_64: Final = 62
_EXECUTABLE: Final = (2, 3)
"""``ET_EXEC`` and ``ET_DYN``; a kernel's module or object file is neither."""
_BOOT: Final = (0x1FE, b"\x55\xaa")
_BZIMAGE: Final = (0x202, b"HdrS")


def check_kernel(path: Path) -> None:
    """Check that a file is a kernel that QEMU can start.

    Raises:
        VmmError: It is not; the message names the setting and the file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise VmmError(f"{SETTING}={path} cannot be read: {error.strerror}") from error
    if not is_kernel(head):
        raise VmmError(
            f"{SETTING}={path} is no kernel for x86-64: neither an ELF file (vmlinux) nor a bzImage"
        )


def is_kernel(head: bytes) -> bool:
    """Return whether a file's first bytes are those of an x86-64 vmlinux or a bzImage."""
    if head.startswith(_ELF) and len(head) >= len(_ELF) + 14:
        kind, machine = struct.unpack_from("<HH", head, 16)
        return kind in _EXECUTABLE and machine == _X86_64
    return all(head[at : at + len(mark)] == mark for at, mark in (_BOOT, _BZIMAGE))
