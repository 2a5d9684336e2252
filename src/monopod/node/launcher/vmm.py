"""Runs a machine's VMM in this container until it ends, with the system call filter of its driver.

Programs of Linux guests are in the image where their jails on the embedded cluster have them, so
that the command lines are the same.
"""

import asyncio
import ctypes
import os
import resource
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from monopod.api import keys
from monopod.node.launcher.plan import (
    CONFIGURATION,
    KVM_DEVICE,
    LINUX_ROOT,
    MONITOR,
    PROCESSOR_VARIABLE,
    PROGRAMS,
    LauncherError,
)
from monopod.node.vmm import console, gvisor, qemu, qmp, seccomp, uml, urpc
from monopod.node.vmm.driver import Machine, MachineExit, VmmError
from monopod.node.vmm.launcher import Invocation
from monopod.node.vmm.qemu_command import HOST_PROCESSOR, Accelerator
from monopod.node.vmm.watchdog import WatchdogTimeouts, ended_or_hung

_ACCELERATORS: Final = {keys.DRIVER_TCG: Accelerator.TCG, keys.DRIVER_KVM: Accelerator.KVM}
_LIBC: Final = ctypes.CDLL(None)
_ADDR_NO_RANDOMIZE: Final = 0x0040000
_GET_PERSONALITY: Final = 0xFFFFFFFF
_CONSOLE_BYTES: Final = 16384
_READ_BYTES: Final = 65536


def root_image(driver: str) -> Path:
    """Return the root file system of a driver's guests."""
    return PROGRAMS / gvisor.ROOT_IMAGE if driver == keys.DRIVER_GVISOR else LINUX_ROOT


async def run(driver: str, machine: Machine, links: Sequence[int]) -> MachineExit:
    """Run a configured machine to its end.

    Raises:
        LauncherError: There is no such driver here.
        VmmError: The VMM refused.
    """
    if driver == keys.DRIVER_GVISOR:
        return await _run_gvisor(machine, links)
    if driver == keys.DRIVER_UML:
        return await _run_uml(machine, links)
    if driver in _ACCELERATORS:
        return await _run_qemu(_ACCELERATORS[driver], machine, links)
    raise LauncherError(f"this launcher has no driver {driver}")


async def _run_gvisor(machine: Machine, links: Sequence[int]) -> MachineExit:
    async with AsyncExitStack() as stack:
        listening, client = urpc.connected()
        stack.enter_context(client)
        with listening, gvisor.invocation(machine, PROGRAMS, listening.fileno()) as start:
            program = PROGRAMS / Path(start.command[0]).name
            sandbox = _running(start, gvisor.ALLOWED, program)
            vmm = await stack.enter_async_context(sandbox)
        await gvisor.hand_over(client, machine, links)
        return await vmm.ended(machine.name)


async def _run_uml(machine: Machine, links: Sequence[int]) -> MachineExit:
    uml.check_mappings(machine)
    async with AsyncExitStack() as stack:
        with uml.invocation(machine, links) as start:
            kernel = _running(start, uml.ALLOWED, environment=uml.ENVIRONMENT, fixed_addresses=True)
            vmm = await stack.enter_async_context(kernel)
        return await vmm.ended(machine.name)


async def _run_qemu(
    accelerator: Accelerator, machine: Machine, links: Sequence[int]
) -> MachineExit:
    """Run QEMU until it ends, or until its guest hangs."""
    processor = os.environ.get(PROCESSOR_VARIABLE) or HOST_PROCESSOR
    async with AsyncExitStack() as stack:
        with (
            qmp.listen(MONITOR) as monitor,
            qemu.invocation(
                accelerator,
                machine,
                links,
                monitor.fileno(),
                processor=processor,
                device=KVM_DEVICE,
            ) as start,
        ):
            allowed = qemu.allowed(accelerator)
            vmm = await stack.enter_async_context(_running(start, allowed))
        end = vmm.ended(machine.name)
        return await ended_or_hung(machine.name, end, MONITOR, WatchdogTimeouts())


def _check_personality() -> None:
    """Try it out: what fails between fork and exec cannot say why."""
    before = _LIBC.personality(_GET_PERSONALITY)
    if before < 0 or _LIBC.personality(before | _ADDR_NO_RANDOMIZE) < 0:
        raise VmmError("the container's seccomp profile refuses personality(2), which UML needs")
    _LIBC.personality(before)


class _Vmm:
    """A running VMM, whose console is copied to the container's log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ended(self, name: str) -> MachineExit:
        """Wait for its end; returns why the machine of this name ended, by its console."""
        kept = b""
        if self._process.stdout is not None:
            while part := await self._process.stdout.read(_READ_BYTES):
                sys.stdout.buffer.write(part)
                sys.stdout.buffer.flush()
                kept = (kept + part)[-_CONSOLE_BYTES:]
        await self._process.wait()
        return console.classify_exit(name, kept.decode(errors="replace"))


@asynccontextmanager
async def _running(
    start: Invocation,
    allowed: seccomp.Extra,
    program: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    fixed_addresses: bool = False,
) -> AsyncGenerator[_Vmm]:
    """Run a VMM for the length of a block.

    Args:
        start: What it is started with.
        allowed: The system calls that it needs.
        program: Where the image has it. None means where the command says.
        environment: Its whole environment. None means that it is empty.
        fixed_addresses: Whether its addresses are not random (see ``monopod.node.vmm.jail``).

    Raises:
        VmmError: The container's system call filter refuses fixed addresses.
    """
    rules = seccomp.build_filter(allowed)
    if fixed_addresses:
        _check_personality()

    def confine() -> None:
        if fixed_addresses:
            _LIBC.personality(_ADDR_NO_RANDOMIZE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit = start.largest_file_bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        rules.load()

    first, *rest = start.command
    vmm = await asyncio.create_subprocess_exec(
        *(str(program or first), *rest),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment or {},
        cwd="/",
        pass_fds=start.descriptors,
        preexec_fn=confine,
    )
    # Its private keys; the VMM has its descriptor.
    CONFIGURATION.unlink()
    try:
        yield _Vmm(vmm)
    finally:
        if vmm.returncode is None:
            vmm.kill()
            await vmm.wait()
