"""``python -m monopod.node.devices.probe``: boots a guest to know whether KVM works on this host.

It needs a container with the host's devices, and runs before the plug-in, which needs none. It runs
no code of a user: the guest prints a word and powers off. QEMU has no privilege.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from monopod.node.devices.settings import DeviceSettings
from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.jail import setpriv_argv
from monopod.node.vmm.kvm_answer import Probe
from monopod.node.vmm.launcher import UNUSED_UID
from monopod.node.vmm.probe import FATAL, boot_guest
from monopod.node.vmm.qemu_command import PROGRAM
from monopod.node.vmm.qemu_program import check_version
from monopod.util import process
from monopod.util.files import write_atomically

_KVM: Final = Path("/dev/kvm")
_PATIENCE_S: Final = 20.0


async def probe() -> Probe:
    """Boot a guest.

    Raises:
        VmmError: The image has no QEMU that works.
    """
    try:
        version = check_version(await _run((PROGRAM, "--version")))
    except process.ProcessError as error:
        raise VmmError(f"{PROGRAM} does not run: {error}") from error
    return await boot_guest(_boot, version, may_name_kernel=False)


async def _boot(command: Sequence[str]) -> str:
    # The node in this container's own /dev; the host's keeps its mode.
    await asyncio.to_thread(_KVM.chmod, 0o666)
    return await _run(command)


async def _run(command: Sequence[str]) -> str:
    confined = setpriv_argv(UNUSED_UID)
    return await process.run(*confined, *command, timeout_s=_PATIENCE_S, fatal=FATAL)


def main() -> int:
    """Write the answer, which is also printed, to the file that the plug-in reads."""
    settings = DeviceSettings()
    try:
        answer = asyncio.run(probe())
    except VmmError as error:
        answer = Probe(works=False, reason=str(error))
    print(f"KVM {'works' if answer.works else 'does not work'}: {answer.reason}", flush=True)
    write_atomically(settings.answer, msgspec.json.encode(answer), mode=0o644)
    return 0


if __name__ == "__main__":
    sys.exit(main())
