"""Checks whether KVM works on this host by booting a minimal guest.

``/dev/kvm`` alone is no proof: on some cloud hosts it exists, opens and answers, and guests crash
or hang. So a guest without devices, which only prints a word, boots in the jail of machines; KVM
works if it prints that word.
"""

import asyncio
import os
import platform
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from monopod.node.vmm import kvm_answer, own_kernel
from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.kvm_answer import Kept, Probe
from monopod.node.vmm.launcher import UNUSED_UID, Launcher
from monopod.node.vmm.qemu import QemuDriver, make_device
from monopod.node.vmm.qemu_command import HOST_PROCESSOR, Accelerator, qemu_argv
from monopod.util import process

WORD: Final = "monopod: probed"
"""The word that the guest prints."""
_KVM: Final = Path("/dev/kvm")
_MODULES: Final = Path("/sys/module")
_PVM: Final = "kvm_pvm"
_HARDWARE_MODULES: Final = ("kvm_amd", "kvm_intel")
_PATIENCE_S: Final = 10.0
_GUEST_MIB: Final = 128
_SHOWN_CHARS: Final = 300
FATAL: Final = re.compile(rb"KVM internal error.*\n")
"""What QEMU prints when KVM cannot run a guest's instruction; it stops the guest and stays."""
_WITHOUT_CAPABILITIES: Final = f"{HOST_PROCESSOR},arch-capabilities=off"
_CAPABILITIES_REFUSED: Final = re.compile(r"failed to set MSR 0x10a\b")
"""What QEMU prints where a host offers guests a register (``IA32_ARCH_CAPABILITIES``) that it then
refuses to set, as some hosts do that are guests themselves."""

Run = Callable[[Sequence[str]], Awaitable[str]]
"""Runs a command to its end and returns its output. It raises ProcessError, and FileNotFoundError
if the host has no ``/dev/kvm``."""


async def probe_kvm(driver: QemuDriver, patience_s: float = _PATIENCE_S) -> Probe:
    """Determine whether machines can run under KVM on this host; takes seconds unless cached.

    The result is cached in the driver's runtime directory until the host reboots, or its processor,
    kernel, module for KVM, QEMU or the guest's kernel change.

    Where the host refuses to set MSR 0x10a, a guest without that register is tried, unless
    ``kvm_pvm`` is behind the device and no kernel for it is named.

    Args:
        driver: The KVM driver.
        patience_s: Seconds for the guest to boot and exit; it normally takes less than one.

    Raises:
        VmmError: QEMU is missing, too old, or does not run in a jail; or no device can be made.
    """
    if driver.accelerator is not Accelerator.KVM:
        raise ValueError(f"{driver.name} is no driver for KVM")
    version = await driver.version()
    identity = await asyncio.to_thread(_identity, driver, version)
    known = await asyncio.to_thread(kvm_answer.read, driver.runtime)
    if known is not None and known.identity == identity:
        return known.answer

    async def run(command: Sequence[str]) -> str:
        return await _run_in_jail(driver, command, patience_s)

    answer = await boot_guest(run, version, driver.own_kernel)
    await asyncio.to_thread(kvm_answer.write, driver.runtime, Kept(identity, answer))
    return answer


async def boot_guest(
    run: Run, version: str, kernel: Path | None = None, *, may_name_kernel: bool = True
) -> Probe:
    """Determine whether machines can run under KVM by booting a guest.

    Args:
        run: Runs QEMU.
        version: QEMU's version, for users.
        kernel: The kernel that the operator names. None means Debian's.
        may_name_kernel: Whether the operator can name one.
    """
    module = kvm_module(_MODULES)
    answer = await _boot(run, version, HOST_PROCESSOR)
    processor = "" if answer.works else retried_processor(answer.reason, module, kernel)
    if processor:
        answer = await _boot(run, version, processor)
    explained = explain(answer, module, kernel, may_name_kernel=may_name_kernel)
    return msgspec.structs.replace(answer, reason=explained, at=time.time())


def retried_processor(reason: str, module: str, kernel: Path | None) -> str:
    """Return the model of virtual processor to try next; empty means none.

    Args:
        reason: How the first try ended.
        module: The module behind ``/dev/kvm``, if it is no hardware's.
        kernel: The kernel that the operator names. None means Debian's.
    """
    if module and kernel is None:
        # Debian's kernel stops at an instruction that the module cannot emulate.
        return ""
    return _WITHOUT_CAPABILITIES if _CAPABILITIES_REFUSED.search(reason) else ""


def kvm_module(modules: Path) -> str:
    """Return the name of the module behind ``/dev/kvm`` if it is no hardware's; else nothing."""
    hardware = any((modules / each).exists() for each in _HARDWARE_MODULES)
    return _PVM if (modules / _PVM).exists() and not hardware else ""


def explain(
    answer: Probe, module: str, kernel: Path | None, *, may_name_kernel: bool = True
) -> str:
    """Return an answer's reason with all that it depends on, for users.

    Args:
        answer: The answer.
        module: The module behind ``/dev/kvm``, if it is no hardware's.
        kernel: The kernel that the operator names. None means Debian's.
        may_name_kernel: Whether the operator can name one.
    """
    parts = [answer.reason]
    if answer.processor != HOST_PROCESSOR:
        parts.append(f"with processor {answer.processor}, as the host refuses MSR 0x10a")
    if kernel is not None:
        parts.append(f"with kernel {kernel}")
    if module and answer.works:
        parts.append(f"by {module}, without hardware virtualisation")
    elif module:
        parts.append(f"behind {_KVM} is {module}, which runs only kernels that are built for it")
        if kernel is None and may_name_kernel:
            parts[-1] += f": name one with {own_kernel.SETTING}"
    return "; ".join(parts)


async def _boot(run: Run, version: str, processor: str) -> Probe:
    answer = await _boot_once(run, version, processor)
    return msgspec.structs.replace(answer, processor=processor)


async def _boot_once(run: Run, version: str, processor: str) -> Probe:
    command = qemu_argv(Accelerator.KVM, 1, _GUEST_MIB, None, processor=processor)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        printed = await run(command)
    except FileNotFoundError:
        why = "its processor has no virtualisation, or the module kvm is not loaded"
        return Probe(works=False, reason=f"this host has no {_KVM}: {why}")
    except process.ProcessError as error:
        return _of_failure(error)
    if WORD in printed:
        took = f"{loop.time() - began:.1f} s"
        return Probe(works=True, reason=f"a guest booted and ended under QEMU {version} in {took}")
    last = ([line for line in printed.splitlines() if line.strip()] or ["nothing"])[-1]
    reason = f"{_KVM} exists, but a guest exited before it ran; its last output: {last}"
    return Probe(works=False, reason=reason[:_SHOWN_CHARS])


async def _run_in_jail(driver: QemuDriver, command: Sequence[str], patience_s: float) -> str:
    node = driver.runtime / f".kvm.{os.getpid()}"
    try:
        await asyncio.to_thread(make_device, node, UNUSED_UID)
    except FileNotFoundError:
        raise
    except OSError as error:
        # A failure of this process and not of the host, so it is not cached.
        raise VmmError(f"no device for a jail can be made: {error}") from error
    try:
        launcher = Launcher(driver.cgroups, driver.console_of)
        return await launcher.run_in_jail(driver.vmm(node), command, patience_s, FATAL)
    finally:
        node.unlink(missing_ok=True)


def _of_failure(error: process.ProcessError) -> Probe:
    if error.returncode is None:
        reason = f"{_KVM} exists, but a guest that boots in a second did not: {error.stderr}"
        return Probe(works=False, reason=reason)
    said = (error.stderr.strip() or error.stdout.strip() or "nothing").splitlines()
    # QEMU's first line is the cause; the others are consequences.
    reason = f"{_KVM} exists, but QEMU cannot use it: {said[0].strip()}"
    return Probe(works=False, reason=reason[:_SHOWN_CHARS])


def _identity(driver: QemuDriver, version: str) -> dict[str, str]:
    models = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    kernel = driver.published_kernel.stat()
    return {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "processor": next(models, platform.machine()),
        "kernel": platform.release(),
        "device": "present" if _KVM.exists() else "absent",
        "module": kvm_module(_MODULES),
        "qemu": version,
        "guest": f"{kernel.st_size} {kernel.st_mtime_ns}",
    }
